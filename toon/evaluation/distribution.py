"""Spread and distance of what chance decides: clips that are drawn several times under the same conditions.

A model whose clips are all alike, or the mean of the true ones, has words and faces right; what it lacks is the spread
between seeds. Distances are Fréchet's between normal distributions (Heusel et al., NeurIPS 2017), on features scaled to
unit deviation in the truth; that of two draws of the truth is the noise floor.

Dimension key: C conditions, K takes under the same conditions, D features, N clips.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.linalg import sqrtm

from uniavgen_core.bundled.video_codec import VideoCodec
from uniavgen_core.media.video.frames import codec_pixels

from .cases import Case, case_of, retold_scene
from .chance_features import FEATURES, GROUPS, chance_features
from .generate_cases import Made, decode
from .judges import Judges
from .measures import located

GENERATED, AGAIN, MEAN = "generated", "truth again", "mean of the truth"
COLUMNS = {
    **{f"spread, {name}": f"spread of {name} between takes, as a share of the truth's" for name in GROUPS},
    **{f"distance, {name}": f"Fréchet distance of {name} to the truth" for name in GROUPS},
}
_LEAST = 1e-6


@dataclass(frozen=True)
class Takes:
    """True clips of one set of conditions, in each of which chance decided otherwise.

    Attributes:
        case: The conditions, and the first take.
        truth: The true clips.
        cases: The case of each of them.
    """

    case: Case
    truth: list[Made]
    cases: list[Case]

    @classmethod
    def of(cls, case: Case, count: int, first: int = 1) -> "Takes":
        """Draw ``count`` takes from chance number ``first`` on."""
        scenes = [retold_scene(case, first + number) for number in range(count)]
        cases = [case_of(scene, world=case.world) for scene in scenes]
        return cls(case, [Made.of(one.frames, one.waveform) for one in cases], cases)


def features_of(clips: Sequence[Made], case: Case, judges: Judges) -> np.ndarray:
    """Features of takes of one case, (K, D)."""
    return np.stack([chance_features(clip, located(clip, case, judges), judges.gaze) for clip in clips])


def mean_take(takes: Takes, codec: VideoCodec) -> Made:
    """The clip whose latents and mel are the mean of the takes': what a network that knows no chance would make."""
    with torch.no_grad():
        video = torch.stack([codec.encode(codec_pixels(case.frames)) for case in takes.cases]).mean(0)
    return decode(codec, video, torch.stack([case.mel for case in takes.cases]).mean(0)[None])[0]


def spread(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Deviation between takes as a share of the truth's, by group.

    Args:
        found: Features, (C, K, D).
        truth: Those of the true takes, (C, K', D).

    Returns:
        Root of the mean ratio of variances over each group's features, each counted as at most 1; a feature that is
        steady in the truth is left out.
    """
    ratio = found.var(1, ddof=1).mean(0) / np.maximum(truth.var(1, ddof=1).mean(0), _LEAST)
    moves = truth.var(1, ddof=1).mean(0) > _LEAST
    return {
        name: float(np.sqrt(np.mean([min(1.0, ratio[at]) for at in _places(name) if moves[at]])))
        for name in GROUPS
    }  # fmt: skip


def distances(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Fréchet distance of features (N, D) to those of the truth (N', D), by group, in the truth's deviations."""
    scale = np.maximum(truth.std(0), np.sqrt(_LEAST))
    return {name: frechet(*((x / scale)[:, _places(name)] for x in (found, truth))) for name in GROUPS}


def frechet(first: np.ndarray, second: np.ndarray) -> float:
    """Fréchet distance of the normal distributions with the means and covariances of (N, D) and (N', D)."""
    means, spreads = zip(*((x.mean(0), np.cov(x, rowvar=False)) for x in (first, second)), strict=True)
    root = np.real(np.asarray(sqrtm(spreads[0] @ spreads[1] + _LEAST * np.eye(first.shape[1]))))
    squared = ((means[0] - means[1]) ** 2).sum() + np.trace(spreads[0] + spreads[1] - 2 * root)
    return float(np.sqrt(max(0.0, squared)))


def _places(group: str) -> list[int]:
    return [FEATURES.index(name) for name in GROUPS[group]]


def compare(
    generated: Sequence[Sequence[Made]], takes: Sequence[Takes], judges: Judges, codec: VideoCodec
) -> dict[str, dict[str, float]]:
    """Rows of the table of chance: generated clips, the truth drawn again, and the mean of the truth.

    Args:
        generated: Clips of every case, each with a seed of its own.
        takes: The true takes of the same cases.
        judges: Trained judges.
        codec: The video codec, for the mean.

    Returns:
        By row, values of ``COLUMNS``. Half of the true takes are the truth, the other half the truth again.
    """
    true = np.stack([features_of(one.truth, one.case, judges) for one in takes])
    half = true.shape[1] // 2
    truth = true[:, :half]
    halves = [replace(one, cases=part) for one in takes for part in (one.cases[:half], one.cases[half:])]
    means = [mean_take(one, codec) for one in halves]
    mean = np.stack(
        [features_of(means[2 * number : 2 * number + 2], one.case, judges) for number, one in enumerate(takes)]
    )
    found = np.stack([features_of(clips, one.case, judges) for clips, one in zip(generated, takes, strict=True)])
    rows = {GENERATED: found, AGAIN: true[:, half:], MEAN: mean}
    return {
        name: {f"spread, {key}": value for key, value in spread(row, truth).items()}
        | {f"distance, {key}": value for key, value in distances(_flat(row), _flat(truth)).items()}
        for name, row in rows.items()
    }


def _flat(features: np.ndarray) -> np.ndarray:
    return features.reshape(-1, features.shape[-1])
