"""Long videos for a given sound: every segment shows the next part of it, and goes on from the picture before.

Dimension key: F video frames, H and W pixel rows and columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import ceil

import torch
from torch import Tensor

from ....uniavgen_core.media.audio.mel import gain_to_peak
from ....uniavgen_core.media.audio.sound import Sound, cut, mel_of, peak_of, to_model_sound
from ....uniavgen_core.media.audio.sound_spans import cut_at_pauses, words_of_spans
from ....uniavgen_core.media.restore import Source
from ....uniavgen_core.media.time_spans import Spans
from ....uniavgen_core.shapes import FPS, video_frames_covering, video_frames_in
from ....uniavgen_core.tasks import AUDIO_DRIVEN
from ..media.footage import Footage
from ..media.source_media import SourceMedia
from ..sampling.joint_latent import keep_audio
from ..tasks.continuation_setup import Continuation, continue_footage
from ..tasks.task_scene import PreparedTask
from .joined_segments import join_pictures
from .segment_store import Segment
from .segments import LongVideo, Plan, Voice

LONGEST_SOUND = 3600.0
"""Seconds of the longest sound that is taken."""


@dataclass(frozen=True)
class SoundPlan(Plan):
    """Plan of the segments of a sound.

    Attributes:
        sound: The sound.
        ends: Video frames of the film at the end of each segment.
    """

    sound: Sound
    ends: tuple[int, ...]

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


def plan_sound(
    sound: Sound, words: str, segment_seconds: float, keep_seconds: float, as_needed: bool, seed: int
) -> SoundPlan:
    """Cut a sound into segments at its pauses, and share out its words.

    Args:
        sound: The sound.
        words: What is said in it; blank if that is not known.
        segment_seconds: Longest segment.
        keep_seconds: The part that neighbouring segments share.
        as_needed: As in ``Plan``.
        seed: Seed of the first segment.

    Raises:
        ValueError: If a segment would add nothing to the one before.
    """
    waveform = to_model_sound(sound)
    longest, kept = video_frames_in(segment_seconds), video_frames_in(keep_seconds)
    ends = cut_at_pauses(waveform, video_frames_covering(sound.seconds), longest, longest - kept)
    plan = SoundPlan((), segment_seconds, keep_seconds, as_needed, seed, sound, tuple(ends))
    return replace(plan, texts=tuple(words_of_spans(words, waveform, [plan.span(n) for n in range(len(ends))])))


@dataclass(frozen=True)
class DrivenVideo(LongVideo):
    """A long video for a given sound, which stays as it is."""

    plan: SoundPlan

    @property
    def given(self) -> SourceMedia:
        """The sound, all of which is kept."""
        return SourceMedia(Source(sound=self.plan.sound, audio_kept=Spans(((0.0, self.plan.sound.seconds),))))

    def finished(self, segments: Sequence[Segment]) -> tuple[Tensor, Sound]:
        """Joined pictures (F, H, W, 3) uint8 of segments, and the sound that belongs to them."""
        frames = join_pictures(segments, self.plan.kept_frames)
        frames = frames[: ceil(FPS * self.plan.sound.seconds - 1e-6)]
        return frames, cut(self.plan.sound, 0.0, len(frames) / FPS)

    def _prepare(self, number: int, voice: Voice | None, before: Segment | None) -> PreparedTask:
        """Prepare one segment, with its part of the sound."""
        del voice
        frames = self.plan.video_frames(number)
        if before is None:
            scene, latent = self.scene.with_image(self.image, self.scene.empty(frames))
            prepared = PreparedTask(scene, latent)
        else:
            new = (frames - self.plan.kept_frames) / FPS
            seen = Footage(before.frames.float() / 255, Fraction(FPS), None)
            go_on = Continuation(self.plan.keep_seconds, new, gain=1.0)
            prepared = continue_footage(self.scene, seen, go_on, self.image)
        start = self.plan.first_frame(number) / FPS
        mel, _ = mel_of(cut(self.plan.sound, start, start + frames / FPS), frames, self._gain)
        scene = prepared.scene.with_speech(text=self.plan.texts[number] or None, start=0.0, kept_text="")
        latent = keep_audio(prepared.latent, mel, torch.zeros(len(mel)))
        return replace(prepared, scene=scene.with_directions(AUDIO_DRIVEN), latent=latent)

    def _finish(self, segment: Segment, prepared: PreparedTask, number: int) -> Segment:
        """A sampled segment with the frames that the film shows of it."""
        del prepared
        return replace(segment, frames=segment.frames[: self.plan.shown_frames(number)])

    @cached_property
    def _gain(self) -> float:
        """Factor from the sound's level to the network's, one for all of it."""
        return gain_to_peak(peak_of(self.plan.sound))
