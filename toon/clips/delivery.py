"""Delivery of a sentence: tempo, pitch, emphasis and strength of its emotion, all left to chance in the lively world.

Dimension key: N samples, T times.
"""

from dataclasses import dataclass

import numpy as np

from .world import World

LATEST_ONSET = 0.4
"""Most silence before a sentence, seconds."""
SLOWEST, FASTEST = 0.85, 1.15
_ENDINGS = ("", ".", "?", "!")
_WEAKEST, _STRONGEST = 0.55, 1.1
_PITCH_STEPS = 5
_FLATTEST, _LIVELIEST = 0.6, 1.3
_KNOT_SECONDS, _KNOTS, _EMPHASIS_DB, _MOST_DB = 0.35, 13, 3.0, 6.0


@dataclass(frozen=True)
class Delivery:
    """Manner of speaking, beside voice and emotion.

    Attributes:
        tempo: Factor of the speaking rate.
        pitch: Steps added to espeak-ng's base pitch.
        pitch_range: Factor of the range of the pitch.
        ending: Punctuation that shapes the end of the pitch contour.
        strength: Strength of the emotion in voice and face; 1 is the steady world's.
        emphasis: Gain of the voice, dB, at times that are 0.35 s apart; empty for none.
    """

    tempo: float = 1.0
    pitch: int = 0
    pitch_range: float = 1.0
    ending: str = ""
    strength: float = 1.0
    emphasis: tuple[float, ...] = ()

    def gain_db(self, seconds: np.ndarray) -> np.ndarray:
        """Gain of the voice at some times (T,), dB, (T,)."""
        if not self.emphasis:
            return np.zeros_like(seconds)
        return np.interp(seconds, _KNOT_SECONDS * np.arange(len(self.emphasis)), self.emphasis)


PLAIN = Delivery()


def draw_delivery(rng: np.random.Generator, world: World) -> Delivery:
    """Draw a delivery; in a steady world it is plain, and nothing is drawn."""
    if not world.lively:
        return PLAIN
    gains = np.clip(rng.normal(0, _EMPHASIS_DB, _KNOTS), -_MOST_DB, _MOST_DB)
    return Delivery(
        tempo=float(rng.uniform(SLOWEST, FASTEST)),
        pitch=int(rng.integers(-_PITCH_STEPS, _PITCH_STEPS + 1)),
        pitch_range=float(rng.uniform(_FLATTEST, _LIVELIEST)),
        ending=_ENDINGS[rng.integers(len(_ENDINGS))],
        strength=float(rng.uniform(_WEAKEST, _STRONGEST)),
        emphasis=tuple(gains.tolist()),
    )
