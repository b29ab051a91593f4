"""Gain of the best of several takes over a single one, sentence by sentence, with the noise of that gain."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .take_rows import JUDGED, Row

RANKINGS = {"plain": "without a recognizer", "heard": "with a recognizer"}
OVERALL = "overall"
"""Mean of words, correlation of mouth and sound, and unbroken frames: one figure by judges that do not rank."""
_RESAMPLES = 10_000
_INSIDE = (2.5, 97.5)
Values = Mapping[str, float]


def compared(rows: Sequence[Row], seed: int = 0) -> dict[str, Any]:
    """Compare the best take of each ranking with a single take.

    Args:
        rows: Takes of sentences, from ``TakeStudio``.
        seed: Seed of the resampling.

    Returns:
        ``single``, the mean of all takes; then for each of ``RANKINGS``, and for ``judges``, which choose by the very
        figure and so bound what can be reached, the measures of the chosen takes and the paired gains; and ``seconds``
        of one core for a sentence. Of a single take the mean over a sentence's takes is expected.
    """
    judged = [[take | {OVERALL: overall(take)} for take in row["takes"]] for row in rows]
    names = (*JUDGED, OVERALL)
    single = {name: np.array([np.mean([take[name] for take in takes]) for takes in judged]) for name in names}
    found: dict[str, Any] = {"single": {name: float(values.mean()) for name, values in single.items()}}
    for ranking in (*RANKINGS, "judges"):
        chosen = [max(takes, key=_by(OVERALL if ranking == "judges" else ranking)) for takes in judged]
        best = {name: np.array([take[name] for take in chosen]) for name in names}
        found[ranking] = {
            "values": {name: float(values.mean()) for name, values in best.items()},
            "gains": {name: gain(best[name] - single[name], seed) for name in names},
        }
    parts = rows[0]["seconds"]
    return found | {"seconds": {name: float(np.mean([row["seconds"][name] for row in rows])) for name in parts}}


def overall(take: Values) -> float:
    """One figure for a take, by judges that do not rank."""
    return float(np.mean([take["words"], take["corr"], 1 - take["broken"]]))


def gain(differences: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Mean of paired differences (N,), its standard error, and the interval that holds 95 % of resampled means."""
    random = np.random.default_rng(seed)
    means = random.choice(differences, (_RESAMPLES, len(differences))).mean(1)
    low, high = np.percentile(means, _INSIDE)
    error = differences.std(ddof=1) / np.sqrt(len(differences)) if len(differences) > 1 else 0.0
    return {"mean": float(differences.mean()), "error": float(error), "low": float(low), "high": float(high)}


def _by(name: str) -> Callable[[Values], float]:
    return lambda take: take[name]
