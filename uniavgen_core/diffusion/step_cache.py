"""Reuses velocities of earlier steps of a run where they would hardly change, with a threshold for each modality.

A pass of the network is left out where its velocities can be told from the two passes before it: they are continued
along the straight line through both. How much they will have changed is estimated from how far the noisy latents have
come since then, and from how strongly velocities changed with latents the last time. Both modalities have to stay below
their own thresholds, because one pass gives both, and lips and speech do not settle at the same time.

Source: the estimate is EasyCache's (arXiv:2507.02860); a threshold for each modality and the straight line are ours.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from torch import Tensor

from .sampler import Latents

Weights = Sequence[Tensor | None]
"""How much each element of each modality counts, broadcastable to it; None where all count alike."""


@dataclass(frozen=True)
class StepCacheConfig:
    """When velocities are reused.

    Attributes:
        thresholds: Largest estimated change of the velocities of video and of audio, as a share of them; a pass whose
            change reaches either is run. 0 runs all.
        start: Noise level from which on passes may be left out; 1 is pure noise.
        stop: Noise level below which they are all run.
    """

    thresholds: tuple[float, float] = (0.05, 0.05)
    start: float = 1.0
    stop: float = 0.0

    def __post_init__(self) -> None:
        if min(self.thresholds) < 0:
            raise ValueError(f"thresholds are {self.thresholds}; they must not be negative.")
        if not 0 <= self.stop <= self.start <= 1:
            raise ValueError(f"start {self.start} and stop {self.stop} must be noise levels, 1 >= start >= stop >= 0.")


@dataclass(frozen=True)
class Known:
    """A pass that was run: noisy latents, noise level, and the velocities it gave."""

    noisy: Latents
    sigma: float
    velocity: Latents


class StepCache:
    """Velocities of one run, which must not be shared with another.

    Attributes:
        calls: How often velocities were asked for.
        skipped: How often they were not computed.
    """

    def __init__(self, config: StepCacheConfig) -> None:
        self.config = config
        self.calls = self.skipped = 0
        self._known: dict[Hashable, list[Known]] = {}

    def velocity(
        self, key: Hashable, noisy: Latents, sigma: float, weights: Weights, compute: Callable[[], Latents]
    ) -> Latents:
        """Velocities of one pass, computed or continued.

        Args:
            key: What tells this pass from others of the same step: with conditions, without, a part of the clip.
            noisy: Noisy latents of both modalities, any shapes.
            sigma: Their noise level.
            weights: 1 where something is generated, 0 where it is kept and no matter.
            compute: Runs the network.

        Returns:
            Velocities, shapes of ``noisy``.
        """
        self.calls += 1
        known = self._known.setdefault(key, [])
        if self._is_near(known, noisy, sigma, weights):
            self.skipped += 1
            return continued(known, sigma)
        velocity = compute()
        known.append(Known(noisy, sigma, velocity))
        del known[:-2]
        return velocity

    def _is_near(self, known: list[Known], noisy: Latents, sigma: float, weights: Weights) -> bool:
        """Whether both modalities' estimated changes stay below their thresholds."""
        if len(known) < 2 or not self.config.stop <= sigma <= self.config.start:
            return False
        changes = estimated_changes(known, noisy, weights)
        return all(change < most for change, most in zip(changes, self.config.thresholds, strict=True))


def estimated_changes(known: Sequence[Known], noisy: Latents, weights: Weights) -> list[float]:
    """Estimate how much velocities have changed since the last pass that was run, as shares of them.

    Args:
        known: The last two passes, in order.
        noisy: Noisy latents now.
        weights: How much each element counts.

    Returns:
        One share for each modality: 0 where nothing counts, not finite where latents or velocities give no measure.
    """
    before, last = known
    changes = []
    for part, weight in enumerate(weights):
        if weight is not None and not weight.any():
            changes.append(0.0)
            continue
        moved = size(noisy[part] - last.noisy[part], weight)
        moved_before = size(last.noisy[part] - before.noisy[part], weight)
        changed_before = size(last.velocity[part] - before.velocity[part], weight)
        changes.append(float(changed_before * moved / (moved_before * size(last.velocity[part], weight))))
    return changes


def continued(known: Sequence[Known], sigma: float) -> Latents:
    """Velocities at a noise level on the straight line through two passes; the last ones if both are at one level."""
    before, last = known
    if last.sigma == before.sigma:
        return last.velocity
    share = (sigma - last.sigma) / (last.sigma - before.sigma)
    return tuple(v + share * (v - u) for u, v in zip(before.velocity, last.velocity, strict=True))


def size(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean magnitude of what counts, a scalar in float32; 0 where nothing does."""
    magnitude = values.float().abs()
    return magnitude.mean() if weight is None else (magnitude * weight).mean()
