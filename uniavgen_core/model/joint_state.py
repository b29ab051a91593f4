"""State of the joint network between its layers, and its output.

Dimension key: B batch, K audio tracks per clip, C latent channels, T video latents, H and W latent rows and columns,
N tokens per latent, S audio tokens, M interaction modules.
"""

from dataclasses import dataclass, replace

from torch import Tensor

from .alignment_tables import Geometry
from .branch import Stream
from .face_mask import FaceSteering


@dataclass(frozen=True)
class JointOutput:
    """Predictions of one pass.

    Attributes:
        video: Velocity, noise minus clean, (B, C, T, H, W).
        audio: Velocity of each track, (B * K, S, mel_bins).
        face_masks: Predicted face weight of each video token by each interaction module that ran, (B, M, T, N).
    """

    video: Tensor
    audio: Tensor
    face_masks: Tensor


@dataclass(frozen=True)
class JointState:
    """Both streams between layers, with the tables and masks of the interaction.

    Attributes:
        video: Video stream, reference image first.
        audio: Audio stream, reference voice first.
        geometry: Tables of the interaction.
        video_noisy: 1 for latents that take updates, 0 for kept ones, (B, T, 1).
        audio_noisy: 1 for audio tokens that take updates, 0 for kept ones, (B * K, S, 1).
        steering: A user's mask; None for none.
        face_masks: Masks predicted so far, each (B, T, N).
    """

    video: Stream
    audio: Stream
    geometry: Geometry
    video_noisy: Tensor
    audio_noisy: Tensor
    steering: FaceSteering | None = None
    face_masks: tuple[Tensor, ...] = ()

    def with_tokens(self, video: Tensor, audio: Tensor) -> "JointState":
        """The same state with other residual streams."""
        return replace(self, video=self.video.with_tokens(video), audio=self.audio.with_tokens(audio))
