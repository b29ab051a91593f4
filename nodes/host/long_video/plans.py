"""Plans of long videos: texts and lengths of their segments."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from ....uniavgen_core.config import TextConfig
from ....uniavgen_core.media.audio.sound_spans import cut_at_pauses, words_of_spans
from ....uniavgen_core.shapes import FPS, MEL_RATE, video_frames_covering, video_frames_in
from ....uniavgen_core.text.script import plan_script as divide_script
from ....uniavgen_core.text.speech_tensors import cached_speech_ids

CHARACTERS_PER_SECOND = 14.0
"""Speaking rate for models that place words by themselves: unhurried English."""
PAUSE_SECONDS = 0.3


@dataclass(frozen=True)
class SegmentSettings:
    """A user's settings of segments.

    Attributes:
        segment_seconds: Longest segment, the part shared with the one before included.
        keep_seconds: The shared part.
        as_needed: Whether a segment is only as long as what it shows; else each is sampled at full length.
        seed: Seed of the first segment; the others follow.
    """

    segment_seconds: float
    keep_seconds: float
    as_needed: bool
    seed: int

    @property
    def kept_frames(self) -> int:
        """Frames that two neighbouring segments share."""
        return video_frames_in(self.keep_seconds)

    def require_room(self) -> float:
        """Most seconds that a segment adds to the one before.

        Raises:
            ValueError: If that is nothing.
        """
        room = self.segment_seconds - self.kept_frames / FPS
        if room < 4 / FPS:
            raise ValueError(
                f"Segments of {self.segment_seconds:g} s that share {self.keep_seconds:g} s add nothing. Make "
                "segment_seconds longer or keep_seconds shorter."
            )
        return room


@dataclass(frozen=True)
class Plan(SegmentSettings, ABC):
    """Plan of the segments of a long video.

    Attributes:
        texts: What each segment says.
    """

    texts: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Description of each segment for the user."""
        return self.texts

    @abstractmethod
    def video_frames(self, number: int) -> int:
        """Frames in which a segment is sampled, with those it shares with the one before."""


@dataclass(frozen=True)
class ScriptPlan(Plan):
    """Plan of the segments of a script; ``text`` says how the model counts the characters of a text."""

    text: TextConfig

    def new_seconds(self, number: int) -> float:
        """Length of what a segment adds."""
        longest = self.segment_seconds - (self.kept_frames / FPS if number else 0.0)
        return min(longest, seconds_to_say(self.texts[number], self.text)) if self.as_needed else longest

    def video_frames(self, number: int) -> int:
        """Length of a segment, with the part it shares with the one before."""
        seconds = self.new_seconds(number)
        return video_frames_covering(self.kept_frames / FPS + seconds) if number else video_frames_in(seconds)


@dataclass(frozen=True)
class TimedPlan(Plan):
    """Plan of the segments of a film whose length is given, by a sound or by a video.

    Attributes:
        ends: Video frames of the film at the end of each segment.
        starts: Time in each segment at which its words begin, seconds.
    """

    ends: tuple[int, ...]
    starts: tuple[float, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Time of each segment, and what is said in it."""
        spans = map(self.span, range(len(self.ends)))
        return tuple(
            f"{start:.2f} to {stop:.2f} s: {text}".strip(": ")
            for (start, stop), text in zip(spans, self.texts, strict=True)
        )

    def first_frame(self, number: int) -> int:
        """First frame of a segment in the film."""
        return self.ends[number - 1] - self.kept_frames if number else 0

    def shown_frames(self, number: int) -> int:
        """Frames of a segment in the film, with the part it shares with the one before."""
        return self.ends[number] - self.first_frame(number)

    def video_frames(self, number: int) -> int:
        """Frames in which a segment is sampled."""
        return self.shown_frames(number) if self.as_needed else video_frames_in(self.segment_seconds)

    def span(self, number: int) -> tuple[float, float]:
        """Start and end of a segment in the film, seconds."""
        return self.first_frame(number) / FPS, self.ends[number] / FPS

    def new_span(self, number: int) -> tuple[float, float]:
        """Start and end of what a segment adds to the film, seconds."""
        return (self.ends[number - 1] / FPS if number else 0.0), self.ends[number] / FPS

    def saying(self, words: str, activity: np.ndarray, *, shared: bool) -> "TimedPlan":
        """The plan with words shared out to its segments.

        Args:
            words: All that is said.
            activity: Whether something is said, 100 times a second.
            shared: Whether a segment also says what lies in the part that it shares with the one before.
        """
        span = self.span if shared else self.new_span
        texts, starts = words_of_spans(words, activity, [span(number) for number in range(len(self.ends))])
        return replace(self, texts=tuple(texts), starts=tuple(starts))


def plan_script(script: str, settings: SegmentSettings, text: TextConfig) -> ScriptPlan:
    """Cut a script into texts that can each be said in what a segment adds.

    Args:
        script: One line or more.
        settings: Settings of the segments.
        text: The model's way to count the characters of a text.

    Raises:
        ValueError: If the segments add nothing, the script is empty, or a word does not fit.
    """
    room = settings.require_room()
    texts = divide_script(script, lambda part: seconds_to_say(part, text) <= room)
    return ScriptPlan(**vars(settings), texts=texts, text=text)


def plan_film(waveform: Tensor, seconds: float, settings: SegmentSettings) -> TimedPlan:
    """Cut a film at the pauses of its sound into segments, which say nothing yet.

    Args:
        waveform: The sound at 24 kHz, (N,).
        seconds: Length of the film.
        settings: Settings of the segments.

    Raises:
        ValueError: If a segment would add nothing to the one before.
    """
    longest = video_frames_in(settings.segment_seconds)
    settings.require_room()
    ends = cut_at_pauses(waveform, video_frames_covering(seconds), longest, longest - settings.kept_frames)
    return TimedPlan(**vars(settings), texts=("",) * len(ends), ends=tuple(ends))


def seconds_to_say(text: str, config: TextConfig) -> float:
    """Seconds that a text takes to say, with a short pause."""
    characters = len(cached_speech_ids(text))
    if config.places_words:
        return characters / CHARACTERS_PER_SECOND + PAUSE_SECONDS
    return config.spoken_frames(characters) / MEL_RATE + config.position_margin
