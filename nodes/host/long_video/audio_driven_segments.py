"""Long videos for a given sound: every segment shows the next part of it, and goes on from the picture before."""

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import ceil

import torch

from ....uniavgen_core.config import TextConfig
from ....uniavgen_core.media.audio.mel import gain_to_peak
from ....uniavgen_core.media.audio.sound import Sound, cut, mel_of, peak_of, to_model_sound
from ....uniavgen_core.media.audio.voice_activity import voice_activity
from ....uniavgen_core.shapes import FPS, MEL_RATE, SAMPLE_RATE
from ....uniavgen_core.tasks import AUDIO_DRIVEN
from ..media.footage import Footage
from ..sampling.joint_latent import keep_audio
from ..tasks.continuation_setup import Continuation, continue_footage
from ..tasks.task_scene import PreparedTask
from .film import Film
from .joined_segments import JoinedPictures
from .plans import SegmentSettings, TimedPlan, plan_film
from .segment_store import FinishedSegments, Segment
from .segmented_video import OWN_LEVEL, LongVideo, Voice


def plan_sound(sound: Sound, words: str, settings: SegmentSettings) -> TimedPlan:
    """Cut a sound into segments at its pauses, and share out its words.

    Args:
        sound: The sound.
        words: What is said in it; blank if that is not known.
        settings: Settings of the segments.

    Raises:
        ValueError: If a segment would add nothing to the one before.
    """
    waveform = to_model_sound(sound)
    plan = plan_film(waveform, sound.seconds, settings)
    return plan.saying(words, voice_activity(waveform, SAMPLE_RATE), shared=True)


@dataclass(frozen=True)
class AudioDrivenVideo(LongVideo):
    """A long video for a given sound, which stays as it is; ``text`` says where the model expects a text to begin."""

    plan: TimedPlan
    sound: Sound
    text: TextConfig

    def film(self, segments: FinishedSegments) -> Film:
        """Video of the first segments, or of all, with the sound that belongs to them."""
        frames = min(self.plan.ends[len(segments) - 1], ceil(FPS * self.sound.seconds - 1e-6))
        pictures = JoinedPictures(segments, self.plan.kept_frames, frames)
        return Film(segments, pictures, cut(self.sound, 0.0, frames / FPS), keeps_sound=True)

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
            go_on = Continuation(self.plan.keep_seconds, new, gain=OWN_LEVEL)
            prepared = continue_footage(self.scene, seen, go_on, self.image)
        start = self.plan.first_frame(number) / FPS
        mel, _ = mel_of(cut(self.sound, start, start + frames / FPS), frames, self._gain)
        begin = max(0.0, self.plan.starts[number] - self.text.position_offset / MEL_RATE)
        scene = prepared.scene.with_speech(text=self.plan.texts[number] or None, start=begin, kept_transcript="")
        latent = keep_audio(prepared.latent, mel, torch.zeros(len(mel)))
        return replace(prepared, scene=scene.with_directions(AUDIO_DRIVEN), latent=latent)

    def _finish(self, segment: Segment, prepared: PreparedTask, number: int) -> Segment:
        """A sampled segment with the frames that the film shows of it."""
        del prepared
        return replace(segment, frames=segment.frames[: self.plan.shown_frames(number)])

    @cached_property
    def _gain(self) -> float:
        """Factor from the sound's level to the network's, one for all of it."""
        return gain_to_peak(peak_of(self.sound))
