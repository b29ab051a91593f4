"""Report of an encoding: the clips that were encoded, kept and skipped."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ...shapes import MEL_RATE
from .clip_record import Skipped
from .clip_store import EncodedClip


@dataclass(frozen=True)
class Done:
    """A clip that can be used.

    Attributes:
        clip: Its line in the index.
        kept: Whether it was there already.
    """

    clip: EncodedClip
    kept: bool


Outcome = Done | Skipped


@dataclass
class Report:
    """Clips that were encoded, kept and skipped.

    Attributes:
        encoded: Clips encoded now.
        kept: Clips found whole from an earlier run.
        skipped: Clips left out.
        finished: Whether every clip was looked at.
        seconds: How long it took.
    """

    encoded: list[EncodedClip] = field(default_factory=list)
    kept: list[EncodedClip] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    finished: bool = False
    seconds: float = 0.0

    @property
    def clips(self) -> list[EncodedClip]:
        """All clips that can be used, by name."""
        return sorted(self.encoded + self.kept, key=lambda clip: clip.name)

    def add(self, outcome: Outcome) -> None:
        """Count one clip."""
        if isinstance(outcome, Skipped):
            self.skipped.append(outcome)
        else:
            (self.kept if outcome.kept else self.encoded).append(outcome.clip)

    def summary(self) -> dict[str, Any]:
        """Counts, reasons and hours as plain values."""
        mel_frames = sum(clip.mel_frames for clip in self.clips)
        return {
            "clips": len(self.clips),
            "encoded": len(self.encoded),
            "kept": len(self.kept),
            "cut": sum(clip.cut for clip in self.clips),
            "speakers": len({clip.record.speaker for clip in self.clips}),
            "hours": round(mel_frames / MEL_RATE / 3600, 4),
            "skipped": dict(Counter(clip.reason for clip in self.skipped).most_common()),
            "finished": self.finished,
            "seconds": round(self.seconds, 1),
        }
