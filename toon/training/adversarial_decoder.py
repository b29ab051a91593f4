"""A critic that teaches the codec's decoder to draw sharp edges.

Where a latent leaves open on which pixel an edge lies, the picture nearest to all that may be there is blurred. A
critic learns to tell true crops from decoded ones, and the decoder to draw what the critic takes for true.
Sources: hinge loss (arXiv:1705.02894), spectral normalisation (arXiv:1802.05957), features of the critic as a
distance (arXiv:1711.11585).
Dimension key: N chunks in a batch, P frames in a chunk (4).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from uniavgen_core.bundled.video_codec import COLOURS, VideoCodec
from uniavgen_core.shapes import TEMPORAL_FACTOR
from uniavgen_core.training.batch_part import Objective

from .codec_training import CodecBatch, CodecBatches, CodecClips, CodecTraining, codec_loss, fixed_latent

_SLOPE = 0.2
_MOTION_GAIN = 4.0


@dataclass(frozen=True)
class CriticConfig:
    """Settings of the critic.

    Attributes:
        width: Channels of its first layer; the others have twice as many.
        realism: Weight of the critic's verdict in the decoder's loss.
        likeness: Weight of the distance between the critic's features of true and decoded crops.
        learning_rate: Peak learning rate of AdamW, for decoder and critic.
    """

    width: int = 48
    realism: float = 0.02
    likeness: float = 0.1
    learning_rate: float = 4e-4


class PatchCritic(nn.Module):
    """Convolutions that judge patches of chunks, all four frames at once, so that flicker is seen too."""

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = 2 * TEMPORAL_FACTOR * COLOURS
        self.layers = nn.ModuleList(
            spectral_norm(layer)
            for layer in (
                nn.Conv2d(channels, width, 4, stride=2, padding=1),
                nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
                nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            )
        )
        self.verdict = spectral_norm(nn.Conv2d(2 * width, 1, 3, padding=1))

    def forward(self, chunks: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Judge chunks.

        Args:
            chunks: (N, P, 3, H, W) in [-1, 1].

        Returns:
            Verdicts, above 0 for true, (N, 1, H / 4, W / 4), and the features they follow from.
        """
        motion = _MOTION_GAIN * (chunks - chunks.mean(1, keepdim=True))
        hidden, features = torch.cat([chunks, motion], 2).flatten(1, 2), []
        for layer in self.layers:
            hidden = F.leaky_relu(layer(hidden), _SLOPE)
            features.append(hidden)
        return self.verdict(hidden), features


class CriticisedCodec(nn.Module):
    """The codec in training with its critic."""

    def __init__(self, codec: VideoCodec, critic: PatchCritic) -> None:
        super().__init__()
        self.codec = codec
        self.critic = critic


def codec_part(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the codec alone, from those of a codec in training, with a critic or without."""
    prefix = "codec."
    own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    return own or weights


@contextmanager
def _fixed(module: nn.Module) -> Iterator[nn.Module]:
    """The module, whose weights get no gradient from what is computed inside."""
    module.requires_grad_(False)
    try:
        yield module
    finally:
        module.requires_grad_(True)


def critic_loss(critic: PatchCritic, true: Tensor, decoded: Tensor) -> Tensor:
    """Hinge loss of telling true chunks from decoded ones, (N, P, 3, H, W) each; scalar. The decoder gets none."""
    return F.relu(1 - critic(true)[0]).mean() + F.relu(1 + critic(decoded.detach())[0]).mean()


def sharpness_losses(critic: PatchCritic, true: Tensor, decoded: Tensor) -> tuple[Tensor, Tensor]:
    """Losses of the decoder; the critic gets no gradient.

    Args:
        critic: The critic.
        true: True chunks, (N, P, 3, H, W) in [-1, 1].
        decoded: Decoded chunks, same shape, not clamped.

    Returns:
        The critic's doubt, lower for chunks it takes for true, and the distance of its features from those of the true
        chunks, in units of these; scalars.
    """
    with _fixed(critic):
        verdict, features = critic(decoded)
        with torch.no_grad():
            wanted = critic(true)[1]
    distances = [F.l1_loss(ours, theirs) / theirs.abs().mean() for ours, theirs in zip(features, wanted, strict=True)]
    return -verdict.mean(), torch.stack(distances).sum()


def criticised_losses(
    model: CriticisedCodec, batch: CodecBatch, config: CodecTraining, weights: CriticConfig
) -> dict[str, Tensor]:
    """Losses of decoder and critic on one batch; each is without gradient for the other.

    Args:
        model: Codec, whose encoder stays as it is, and critic.
        batch: Crops, and noise of their latents.
        config: Weights of the codec's own loss.
        weights: Weights of the critic's.

    Returns:
        Scalars by name; ``loss`` is their weighted sum.
    """
    with torch.no_grad():
        latent = fixed_latent(model.codec, batch.chunks)
    decoded = model.codec.decoder(latent + config.latent_noise * batch.noise).float()
    distance = codec_loss(decoded, batch.chunks, config)
    critic = critic_loss(model.critic, batch.chunks, decoded)
    doubt, likeness = sharpness_losses(model.critic, batch.chunks, decoded)
    loss = distance + critic + weights.realism * doubt + weights.likeness * likeness
    return {"loss": loss, "distance": distance, "critic": critic, "doubt": doubt, "likeness": likeness}


def criticised_objective(clips: CodecClips, config: CodecTraining, weights: CriticConfig, seed: int) -> Objective:
    """Objective of decoder and critic; see ``criticised_losses``."""

    def losses(model: CriticisedCodec, batch: CodecBatch, progress: float) -> Mapping[str, Tensor]:
        del progress
        return criticised_losses(model, batch, config, weights)

    return Objective(CodecBatches(clips, config, seed), losses)
