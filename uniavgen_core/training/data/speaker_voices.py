"""Reference voices from other clips of the same speaker.

A clip that is short enough is taken whole, with its transcript. Of a longer one its beginning is taken, up to a pause,
and the words that were said until then: nobody has timed them, so each character of the transcript is given the same
share of the time between the first and the last sound. That is wrong by a word now and then.
Dimension key: S mel frames, R mel frames of a reference voice.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_LEAD = 5  # Mel frames before the first sound that are taken along.
_PAUSE_WITHIN = 0.3
"""Share of a voice's frames, at its end, in which the quietest place is looked for."""


@dataclass(frozen=True)
class Voice:
    """A reference voice.

    Attributes:
        mel: Normalised mel with silence at its end, (R, 80) float32.
        transcript: What is said in it.
    """

    mel: np.ndarray
    transcript: str


class Speakers:
    """The speakers and their clips."""

    def __init__(self, speakers: Sequence[str]) -> None:
        clips = defaultdict(list)
        for clip, speaker in enumerate(speakers):
            clips[speaker].append(clip)
        self.clips_of = {speaker: np.array(found) for speaker, found in clips.items()}
        self.speakers = list(speakers)

    @property
    def has_voice(self) -> np.ndarray:
        """True if there is another clip of the same speaker, for each clip, bool."""
        return np.array([len(self.clips_of[speaker]) > 1 for speaker in self.speakers])

    def other_clip(self, clip: int, random: np.random.Generator) -> int:
        """Draw another clip of the same speaker; there must be one."""
        clips = self.clips_of[self.speakers[clip]]
        return int(random.choice(clips[clips != clip]))


def cut_voice(mel: np.ndarray, transcript: str, frames: int, silence: np.ndarray) -> Voice:
    """Make a clip's sound a reference voice of a given length.

    Args:
        mel: Normalised mel of the clip, (S, 80).
        transcript: What is said in it.
        frames: Mel frames of the voice; what is missing is filled with silence.
        silence: Normalised mel of digital silence, (80,).
    """
    if len(mel) > frames:
        loudness = mel.mean(1)
        low, high = np.quantile(loudness, (0.05, 0.95))
        heard = np.flatnonzero(loudness >= (low + high) / 2)
        first = max(0, min(heard[0] - _LEAD, len(mel) - frames))
        earliest = first + round((1 - _PAUSE_WITHIN) * frames)
        end = earliest + int(loudness[earliest : first + frames].argmin())
        share = (end - heard[0]) / max(1, heard[-1] + 1 - heard[0])
        mel, transcript = mel[first:end], words_until(transcript, share)
    filled = np.concatenate([mel, np.broadcast_to(silence, (frames - len(mel), len(silence)))])
    return Voice(filled.astype(np.float32), transcript)


def words_until(transcript: str, share: float) -> str:
    """The words said in the first ``share`` of a transcript's time; the characters of one without spaces."""
    words = transcript.split()
    joint = " " if len(words) > 1 else ""
    units = words if joint else list(transcript.strip())
    ends = np.cumsum([len(unit) + len(joint) for unit in units])
    middles = ends - np.array([len(unit) for unit in units]) / 2
    return joint.join(unit for unit, middle in zip(units, middles, strict=True) if middle <= share * ends[-1])
