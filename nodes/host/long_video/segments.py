"""Long videos by continuation: every segment goes on from the last moments of the one before.

Dimension key: F video frames, H and W pixel rows and columns, N samples.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from torch import Tensor

from ....uniavgen_core.config import TextConfig
from ....uniavgen_core.media.audio.loudness import under_ceiling
from ....uniavgen_core.media.audio.sound import Sound, at_rate
from ....uniavgen_core.media.segment_joins import with_kept_colours
from ....uniavgen_core.shapes import FPS, MEL_RATE, SAMPLE_RATE, video_frames_covering, video_frames_in
from ....uniavgen_core.text.script import plan_script
from ....uniavgen_core.text.speech_tensors import cached_speech_ids
from ..media.footage import Footage
from ..media.source_media import SourceMedia
from ..tasks.continuation_setup import Continuation, continue_footage
from ..tasks.joint_setup import prepare_joint, prepare_reference_voice, with_voice
from ..tasks.task_scene import PreparedTask, Scene
from .joined_segments import join, save_video
from .segment_store import Segment, SegmentStore, key_of

CHARACTERS_PER_SECOND = 14.0
"""Speaking rate for models that place words by themselves: unhurried English."""
PAUSE_SECONDS = 0.3
RAMP_SECONDS = 0.05
OWN_LEVEL = 1.0
"""Gain of what the next segment goes on from: segments are at their mel's level, which is the model's."""


@dataclass(frozen=True)
class Plan(ABC):
    """Plan of the segments of a long video.

    Attributes:
        texts: What each segment says.
        segment_seconds: Longest segment, the part shared with the one before included.
        keep_seconds: The shared part.
        as_needed: Whether a segment is only as long as what it shows; else each is sampled at full length.
        seed: Seed of the first segment; the others follow.
    """

    texts: tuple[str, ...]
    segment_seconds: float
    keep_seconds: float
    as_needed: bool
    seed: int

    @property
    def kept_frames(self) -> int:
        """Frames that two neighbouring segments share."""
        return video_frames_in(self.keep_seconds)

    @property
    def labels(self) -> tuple[str, ...]:
        """Description of each segment for the user."""
        return self.texts

    @abstractmethod
    def video_frames(self, number: int) -> int:
        """Frames in which a segment is sampled, with those it shares with the one before."""


@dataclass(frozen=True)
class LongPlan(Plan):
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


def seconds_to_say(text: str, config: TextConfig) -> float:
    """Seconds that a text takes to say, with a short pause."""
    characters = len(cached_speech_ids(text))
    if config.places_words:
        return characters / CHARACTERS_PER_SECOND + PAUSE_SECONDS
    return config.spoken_frames(characters) / MEL_RATE


def seconds_added(segment_seconds: float, keep_seconds: float) -> float:
    """Seconds that a segment adds to the one before.

    Raises:
        ValueError: If that is nothing.
    """
    room = segment_seconds - video_frames_in(keep_seconds) / FPS
    if room < 4 / FPS:
        raise ValueError(
            f"Segments of {segment_seconds:g} s that share {keep_seconds:g} s add nothing. Make segment_seconds longer "
            "or keep_seconds shorter."
        )
    return room


def plan_segments(script: str, segment_seconds: float, keep_seconds: float, config: TextConfig) -> tuple[str, ...]:
    """Cut a script into texts that can each be said in what a segment adds.

    Raises:
        ValueError: If the segments add nothing, the script is empty, or a word does not fit.
    """
    room = seconds_added(segment_seconds, keep_seconds)
    return plan_script(script, lambda text: seconds_to_say(text, config) <= room)


@dataclass(frozen=True)
class Voice:
    """A reference voice: an AUDIO of someone speaking, and what is said."""

    audio: dict
    text: str


@dataclass(frozen=True)
class LongVideo(ABC):
    """One long video.

    Attributes:
        scene: What all segments start from.
        plan: Texts and lengths of the segments.
        image: The person, (B, H, W, 3), or None.
        voice: The reference voice; None for that of the first segment.
    """

    scene: Scene
    plan: Plan
    image: Tensor | None
    voice: Voice | None

    def make(
        self, make_segment: Callable[[PreparedTask, int], Segment], store: SegmentStore
    ) -> tuple[list[Segment], list[str]]:
        """Make all segments that are not finished yet.

        Args:
            make_segment: Samples and decodes a segment; its number counts from 0.
            store: Keeps finished segments.

        Returns:
            The segments, and notices.

        Raises:
            BaseException: From ``make_segment``, an interrupt too; what is finished is kept and saved as a video.
        """
        done: list[Segment] = []
        notices: list[str] = []
        voice, key = self.voice, store.first_key
        try:
            for number, (text, label) in enumerate(zip(self.plan.texts, self.plan.labels, strict=True)):
                key = key_of(key, number, label)
                segment = store.load(number, key)
                if segment is None:
                    prepared = self._prepare(number, voice, done[-1] if done else None)
                    segment = self._finish(make_segment(prepared, number), prepared, number)
                    if done:
                        kept = done[-1].frames[-self.plan.kept_frames :]
                        segment = replace(segment, frames=with_kept_colours(segment.frames, kept))
                    store.save(number, key, segment)
                if number == 0 and voice is None:
                    voice, notices = self._voice_of(segment, text)
                done.append(segment)
        except BaseException:
            if done:
                frames, sound = self.finished(done)
                path = save_video(frames, at_rate(sound, SAMPLE_RATE), store.folder / "finished_so_far.mp4")
                logging.info("UniAVGen: %d of %d segments are kept: %s", len(done), len(self.plan.texts), path)
            raise
        return done, notices

    @property
    @abstractmethod
    def given(self) -> SourceMedia:
        """The user's own media in the video."""

    @abstractmethod
    def finished(self, segments: Sequence[Segment]) -> tuple[Tensor, Sound]:
        """Joined pictures (F, H, W, 3) uint8 and sound of the first segments, or of all."""

    @abstractmethod
    def _prepare(self, number: int, voice: Voice | None, before: Segment | None) -> PreparedTask:
        """Prepare one segment, the first by itself, every other from the one before."""

    @abstractmethod
    def _finish(self, segment: Segment, prepared: PreparedTask, number: int) -> Segment:
        """A sampled segment as it is stored."""

    def _voice_of(self, segment: Segment, text: str) -> tuple[Voice | None, list[str]]:
        """Voice of the first segment for the following ones, and notices; None for none."""
        del segment, text
        return None, []


@dataclass(frozen=True)
class ScriptVideo(LongVideo):
    """A long video that speaks a script."""

    plan: LongPlan

    @property
    def given(self) -> SourceMedia:
        """The user's own media in the video: none."""
        return SourceMedia()

    def finished(self, segments: Sequence[Segment]) -> tuple[Tensor, Sound]:
        """Joined pictures (F, H, W, 3) uint8 and sound of segments."""
        frames, waveform = join(segments, self.plan.kept_frames)
        return frames, Sound(waveform[None], SAMPLE_RATE)

    def _prepare(self, number: int, voice: Voice | None, before: Segment | None) -> PreparedTask:
        """Prepare one segment: the first by itself, every other as the continuation of the one before."""
        seconds = self.plan.new_seconds(number)
        scene = self.scene.with_speech(text=self.plan.texts[number])
        if before is None:
            if voice is None:
                return prepare_joint(scene, seconds, self.image)
            return prepare_reference_voice(scene, seconds, self.image, voice.audio, voice.text)
        if voice is not None:
            scene, _ = with_voice(scene, voice.audio, voice.text)
        plan = Continuation(self.plan.keep_seconds, seconds, ramp_seconds=RAMP_SECONDS, gain=OWN_LEVEL)
        return continue_footage(scene, footage_of(before), plan, self.image)

    def _finish(self, segment: Segment, prepared: PreparedTask, number: int) -> Segment:
        """A sampled segment with its sound at the level of the film."""
        del number
        return replace(segment, waveform=segment.waveform / prepared.source_media.gain)

    def _voice_of(self, segment: Segment, text: str) -> tuple[Voice | None, list[str]]:
        """Voice of a segment for the following ones; None, and a notice, if it is not fit for that."""
        audio = {"waveform": under_ceiling(segment.waveform[None, None]), "sample_rate": SAMPLE_RATE}
        try:
            with_voice(self.scene, audio, text)
        except ValueError as error:
            return None, [f"The first segment is no reference voice for the others: {error}"]
        return Voice(audio, text), []


def footage_of(segment: Segment) -> Footage:
    """A segment as the clip that the next one continues."""
    return Footage(segment.frames.float() / 255, Fraction(FPS), Sound(segment.waveform[None], SAMPLE_RATE))
