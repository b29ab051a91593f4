"""Adversarial training of the codec's decoder, so that it draws sharp edges.

Where a latent leaves open on which pixel an edge lies, the picture nearest to all that may be there is blurred. A
discriminator learns to tell true crops from decoded ones, and the decoder to draw what it takes for true.
Sources: hinge loss (arXiv:1705.02894), spectral normalisation (arXiv:1802.05957), feature matching (arXiv:1711.11585).
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
class AdversarialConfig:
    """Settings of the discriminator and of its part in the decoder's loss.

    Attributes:
        width: Channels of its first layer; the others have twice as many.
        adversarial_weight: Weight of the discriminator's verdict in the decoder's loss.
        matching_weight: Weight of the distance between its features of true and of decoded crops.
        learning_rate: Peak learning rate of AdamW, for decoder and discriminator.
    """

    width: int = 48
    adversarial_weight: float = 0.02
    matching_weight: float = 0.1
    learning_rate: float = 4e-4


class PatchDiscriminator(nn.Module):
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


class AdversarialCodec(nn.Module):
    """The codec in training with its discriminator."""

    def __init__(self, codec: VideoCodec, discriminator: PatchDiscriminator) -> None:
        super().__init__()
        self.codec = codec
        self.discriminator = discriminator


def codec_part(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the codec alone, from those of a codec in training, with a discriminator or without."""
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


def discriminator_loss(discriminator: PatchDiscriminator, true: Tensor, decoded: Tensor) -> Tensor:
    """Hinge loss of telling true chunks from decoded ones, (N, P, 3, H, W) each; scalar. The decoder gets none."""
    return F.relu(1 - discriminator(true)[0]).mean() + F.relu(1 + discriminator(decoded.detach())[0]).mean()


def generator_losses(discriminator: PatchDiscriminator, true: Tensor, decoded: Tensor) -> tuple[Tensor, Tensor]:
    """Losses of the decoder; the discriminator gets no gradient.

    Args:
        discriminator: The discriminator.
        true: True chunks, (N, P, 3, H, W) in [-1, 1].
        decoded: Decoded chunks, same shape, not clamped.

    Returns:
        The adversarial loss, lower for chunks that are taken for true, and the distance of the discriminator's features
        from those of the true chunks, in units of these; scalars.
    """
    with _fixed(discriminator):
        verdict, features = discriminator(decoded)
        with torch.no_grad():
            wanted = discriminator(true)[1]
    distances = [F.l1_loss(ours, theirs) / theirs.abs().mean() for ours, theirs in zip(features, wanted, strict=True)]
    return -verdict.mean(), torch.stack(distances).sum()


def adversarial_losses(
    model: AdversarialCodec, batch: CodecBatch, config: CodecTraining, weights: AdversarialConfig
) -> dict[str, Tensor]:
    """Losses of decoder and discriminator on one batch; each is without gradient for the other.

    Args:
        model: Codec, whose encoder stays as it is, and discriminator.
        batch: Crops, and noise of their latents.
        config: Weights of the codec's own loss.
        weights: Weights of the adversarial part.

    Returns:
        Scalars by name; ``loss`` is their weighted sum.
    """
    with torch.no_grad():
        latent = fixed_latent(model.codec, batch.chunks)
    decoded = model.codec.decoder(latent + config.latent_noise * batch.noise).float()
    distance = codec_loss(decoded, batch.chunks, config)
    told_apart = discriminator_loss(model.discriminator, batch.chunks, decoded)
    adversarial, matching = generator_losses(model.discriminator, batch.chunks, decoded)
    loss = distance + told_apart + weights.adversarial_weight * adversarial + weights.matching_weight * matching
    return {
        "loss": loss, "distance": distance, "discriminator": told_apart, "adversarial": adversarial,
        "matching": matching,
    }  # fmt: skip


def adversarial_objective(clips: CodecClips, config: CodecTraining, weights: AdversarialConfig, seed: int) -> Objective:
    """Objective of decoder and discriminator; see ``adversarial_losses``."""

    def losses(model: AdversarialCodec, batch: CodecBatch, progress: float) -> Mapping[str, Tensor]:
        del progress
        return adversarial_losses(model, batch, config, weights)

    return Objective(CodecBatches(clips, config, seed), losses)
