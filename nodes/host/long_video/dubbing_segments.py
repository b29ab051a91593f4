"""Dubbing of long videos: every segment gets the next part of the sound, and goes on from the sound before.

The pictures stay the user's own, and are read from the user's file a segment at a time.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from ....uniavgen_core.config import TextConfig
from ....uniavgen_core.media.audio.sound import Sound, mel_of, to_model_sound
from ....uniavgen_core.media.audio.voice_activity import LEVEL_RATE, voice_activity
from ....uniavgen_core.media.segment_joins import trailing_ramp
from ....uniavgen_core.shapes import FPS, MEL_RATE, SAMPLE_RATE
from ....uniavgen_core.tasks import DUBBING
from ..conditioning.pass_settings import REFERENCE_IMAGE_KEY
from ..media.video_spans import VideoSpans
from ..sampling.joint_latent import keep_audio, keep_video
from ..tasks.joint_setup import with_voice
from ..tasks.task_scene import PreparedTask
from .film import Film
from .joined_segments import join_speech
from .plans import SegmentSettings, TimedPlan, plan_film, seconds_to_say
from .segment_store import FinishedSegments, Segment, without_pictures
from .segmented_video import OWN_LEVEL, RAMP_SECONDS, LongVideo, Voice
from .spoken_segments import voice_of_segment

SAMPLES_A_FRAME = SAMPLE_RATE // FPS


def plan_dubbing(video: VideoSpans, words: str, settings: SegmentSettings, text: TextConfig) -> TimedPlan:
    """Cut a video into segments, at the pauses of its own sound if it has one, and share out the new words.

    Args:
        video: The video.
        words: What is to be said in it.
        settings: Settings of the segments.
        text: The model's way to count the characters of a text.

    Returns:
        The plan. Words are said while someone speaks in the video's own sound, or evenly where nobody does; those that
        a segment cannot hold are said in the next, and the last one has all that are left.

    Raises:
        ValueError: If a segment would add nothing to the one before.
    """
    waveform = torch.zeros(round(video.seconds * SAMPLE_RATE))
    if video.sound is not None:
        waveform = to_model_sound(video.sound)
    activity = voice_activity(waveform, SAMPLE_RATE)
    if not activity.any():
        activity = np.ones(int(video.seconds * LEVEL_RATE), bool)
    return _with_room(plan_film(waveform, video.seconds, settings).saying(words, activity, shared=False), text)


def _with_room(plan: TimedPlan, text: TextConfig) -> TimedPlan:
    """The plan with words moved on to the next segment where they are too many to say."""
    texts: list[str] = []
    waiting: list[str] = []
    for number, said in enumerate(plan.texts):
        words = [*waiting, *said.split()]
        room = (plan.video_frames(number) - (plan.kept_frames if number else 0)) / FPS
        count = 0
        while count < len(words) and seconds_to_say(" ".join(words[: count + 1]), text) <= room:
            count += 1
        texts.append(" ".join(words[:count]))
        waiting = words[count:]
    texts[-1] = " ".join([*texts[-1].split(), *waiting])
    return replace(plan, texts=tuple(texts))


def length_notices(words: str, seconds: float, text: TextConfig) -> list[str]:
    """Notice about words that take longer to say than a video of ``seconds`` lasts."""
    needed = seconds_to_say(words, text)
    if needed <= seconds:
        return []
    return [f"The script takes about {needed:.0f} s to speak, but the video lasts {seconds:.0f} s. Shorten the script."]


@dataclass(frozen=True)
class DubbedVideo(LongVideo):
    """A long video that is given a sound; a segment in which nothing is said stays silent."""

    plan: TimedPlan
    video: VideoSpans

    def film(self, segments: FinishedSegments) -> Film:
        """The video with the sound of the first segments, silent after that, or of all."""
        sound = join_speech(segments, self.plan.kept_frames).waveform
        samples = round(self.video.seconds * SAMPLE_RATE)
        sound = torch.nn.functional.pad(sound[:, :samples], (0, max(0, samples - sound.shape[1])))
        fps, original = self.video.fps, self.video.video
        return Film(segments, self.video, Sound(sound, SAMPLE_RATE), fps, original=original)

    def _prepare(self, number: int, voice: Voice | None, before: Segment | None) -> PreparedTask:
        """Prepare one segment, with its part of the video and the end of the sound before."""
        frames, first = self.plan.video_frames(number), self.plan.first_frame(number)
        scene = self.scene
        clean = scene.encode(self.video.at_model_rate(first, first + frames))
        latent = keep_video(scene.empty(frames), clean, torch.zeros(clean.shape[2]))
        person = self.video.at_model_rate(0, 1) if self.image is None else self.image[:1]
        scene = scene.with_reference(REFERENCE_IMAGE_KEY, scene.encode(person))
        if voice is not None:
            scene, _ = with_voice(scene, voice.audio, voice.text)
        start = 0.0
        if before is not None:
            kept = Sound(before.waveform[None, -self.plan.kept_frames * SAMPLES_A_FRAME :], SAMPLE_RATE)
            mel, _ = mel_of(kept, self.plan.kept_frames, OWN_LEVEL)
            latent = keep_audio(latent, mel, trailing_ramp(len(mel), min(round(RAMP_SECONDS * MEL_RATE), len(mel))))
            start = len(mel) / MEL_RATE
        scene = scene.with_speech(text=self.plan.texts[number] or None, start=start, kept_transcript="")
        return PreparedTask(scene.with_directions(DUBBING), latent)

    def _finish(self, segment: Segment, prepared: PreparedTask, number: int) -> Segment:
        """A sampled segment with what the film needs of it: its sound, as long as what is shown."""
        del prepared
        shown = self.plan.shown_frames(number)
        return replace(segment, frames=segment.frames[:shown], waveform=segment.waveform[: shown * SAMPLES_A_FRAME])

    def _silent(self, number: int) -> Segment | None:
        """Silence, where nothing is said."""
        if self.plan.texts[number]:
            return None
        shown = self.plan.shown_frames(number)
        return Segment(without_pictures(shown), torch.zeros(shown * SAMPLES_A_FRAME))

    def _voice_of(self, segment: Segment, number: int) -> tuple[Voice | None, list[str]]:
        """Voice of the first segment that says something, for the following ones."""
        text = self.plan.texts[number]
        return voice_of_segment(self.scene, segment, text) if text else (None, [])
