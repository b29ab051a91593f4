"""Conditions of one pass of the network, or of a branch alone.

Dimension key: B batch, K audio tracks per clip, C latent channels, H and W latent rows and columns, R reference voice
tokens, L characters or caption tokens.
"""

from dataclasses import dataclass

from torch import Tensor

from ..config import Interaction
from .face_mask import FaceSteering


@dataclass(frozen=True)
class Conditions:
    """Conditions of one pass of the network.

    Attributes:
        caption: Caption features, (B, L, caption_dim), filled with zeros to the model's caption length. None where
            there is no video branch.
        speech_ids: Characters of each track's transcript, -1 for filler, long, (B * K, L). None where there is no audio
            branch.
        speech_lengths: Characters that the audio branch attends to, (B * K,); None for all L.
        speech_positions: Mel frame, reference voice included, at which each character is expected, (B * K, L); None
            for the model's own spacing.
        reference_image: Latent of the reference image, (B, C, 1, H, W); None for none.
        reference_audio: Normalised mel of each track's reference voice, (B * K, R, mel_bins); None for none.
        interaction: Directions that update their target.
        skip_layer: Layer left out with its interaction; None for none.
        steering: A user's mask for each track; None for the predicted one alone.
    """

    caption: Tensor | None
    speech_ids: Tensor | None
    speech_lengths: Tensor | None = None
    speech_positions: Tensor | None = None
    reference_image: Tensor | None = None
    reference_audio: Tensor | None = None
    interaction: Interaction = Interaction.BOTH
    skip_layer: int | None = None
    steering: FaceSteering | None = None

    @property
    def described(self) -> Tensor:
        """The caption, for a network with a video branch."""
        if self.caption is None:
            raise ValueError("There is no caption; the video branch needs one.")
        return self.caption

    @property
    def spoken(self) -> Tensor:
        """The characters, for a network with an audio branch."""
        if self.speech_ids is None:
            raise ValueError("There is no speech text; the audio branch needs one.")
        return self.speech_ids
