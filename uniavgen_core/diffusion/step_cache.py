"""Step cache: skips passes of the network whose velocities would hardly change, with a threshold for each modality.

The velocities of a skipped pass are extrapolated along the straight line through the two passes before it. Their change
is estimated from how far the noisy latents have moved since the last pass, and from how strongly velocities changed
with latents before. Both modalities have to stay below their own thresholds, because one pass computes both, and lips
and speech do not settle at the same time.

Source: the estimate is EasyCache's (arXiv:2507.02860); a threshold for each modality and the straight line are ours.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from torch import Tensor

from .sampler import Latents

Weights = Sequence[Tensor | None]
"""Weight of each element of each modality in the estimate, broadcastable to it; None for equal weights."""


@dataclass(frozen=True)
class StepCacheConfig:
    """Conditions under which passes are skipped.

    Attributes:
        thresholds: Relative change of the velocities of video and of audio from which on a pass is run; 0 runs all.
        start: Noise level from which on passes may be skipped; 1 is pure noise.
        stop: Noise level below which all passes are run.
    """

    thresholds: tuple[float, float]
    start: float = 1.0
    stop: float = 0.0

    def __post_init__(self) -> None:
        if min(self.thresholds) < 0:
            raise ValueError(f"thresholds are {self.thresholds}; they must not be negative.")
        if not 0 <= self.stop <= self.start <= 1:
            raise ValueError(f"start {self.start} and stop {self.stop} must be noise levels, 1 >= start >= stop >= 0.")


@dataclass(frozen=True)
class Known:
    """A pass that was run: its noisy latents, noise level, and velocities."""

    noisy: Latents
    sigma: float
    velocity: Latents


class StepCache:
    """Cache of one sampling run, which must not be shared with another.

    Attributes:
        calls: Number of passes that the sampler asked for.
        skipped: Number of those that were not run.
    """

    def __init__(self, config: StepCacheConfig) -> None:
        self.config = config
        self.calls = self.skipped = 0
        self._known: dict[Hashable, list[Known]] = {}

    def velocity(
        self, key: Hashable, noisy: Latents, sigma: float, weights: Weights, compute: Callable[[], Latents]
    ) -> Latents:
        """Velocities of one pass, computed or extrapolated, shapes of ``noisy``.

        Args:
            key: Identity of the pass among those of the same step, such as its conditioning and its part of the clip.
            noisy: Noisy latents of both modalities, any shapes.
            sigma: Their noise level.
            weights: 1 for what is generated, 0 for what is kept.
            compute: Runs the network.
        """
        self.calls += 1
        known = self._known.setdefault(key, [])
        if self._is_near(known, noisy, sigma, weights):
            self.skipped += 1
            return extrapolated(known, sigma)
        velocity = compute()
        known.append(Known(noisy, sigma, velocity))
        del known[:-2]
        return velocity

    def _is_near(self, known: list[Known], noisy: Latents, sigma: float, weights: Weights) -> bool:
        """True if the estimated changes of both modalities stay below their thresholds."""
        if len(known) < 2 or not self.config.stop <= sigma <= self.config.start:
            return False
        changes = estimated_changes(known, noisy, weights)
        return all(change < limit for change, limit in zip(changes, self.config.thresholds, strict=True))


def estimated_changes(known: Sequence[Known], noisy: Latents, weights: Weights) -> list[float]:
    """Relative change of the velocities since the last pass that was run, as estimated by EasyCache.

    Args:
        known: The last two passes that were run, in order.
        noisy: Noisy latents now.
        weights: Weight of each element.

    Returns:
        One number for each modality: 0 if all weights are 0, not finite if latents or velocities did not change.
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


def extrapolated(known: Sequence[Known], sigma: float) -> Latents:
    """Velocities at a noise level on the straight line through two passes; the last ones if both are at one level."""
    before, last = known
    if last.sigma == before.sigma:
        return last.velocity
    share = (sigma - last.sigma) / (last.sigma - before.sigma)
    return tuple(v + share * (v - u) for u, v in zip(before.velocity, last.velocity, strict=True))


def size(values: Tensor, weight: Tensor | None) -> Tensor:
    """Weighted mean magnitude, a scalar in float32."""
    magnitude = values.float().abs()
    return magnitude.mean() if weight is None else (magnitude * weight).mean()
