"""Long videos that speak a script: every segment continues the one before."""

from dataclasses import dataclass, replace
from fractions import Fraction

from ....uniavgen_core.media.audio.loudness import under_ceiling
from ....uniavgen_core.media.audio.sound import Sound
from ....uniavgen_core.shapes import FPS, SAMPLE_RATE
from ..media.footage import Footage
from ..tasks.continuation_setup import Continuation, continue_footage
from ..tasks.joint_setup import prepare_joint, prepare_reference_voice, with_voice
from ..tasks.task_scene import PreparedTask, Scene
from .film import Film
from .joined_segments import JoinedPictures, join_speech
from .plans import ScriptPlan
from .segment_store import FinishedSegments, Segment
from .segmented_video import OWN_LEVEL, RAMP_SECONDS, LongVideo, Voice


@dataclass(frozen=True)
class SpokenVideo(LongVideo):
    """A long video that speaks a script."""

    plan: ScriptPlan

    def film(self, segments: FinishedSegments) -> Film:
        """Video of the first segments, or of all."""
        kept = self.plan.kept_frames
        return Film(segments, JoinedPictures(segments, kept), join_speech(segments, kept))

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

    def _voice_of(self, segment: Segment, number: int) -> tuple[Voice | None, list[str]]:
        """Voice of the first segment for the following ones; None, and a notice, if it is not fit for that."""
        return (None, []) if number else voice_of_segment(self.scene, segment, self.plan.texts[0])


def voice_of_segment(scene: Scene, segment: Segment, text: str) -> tuple[Voice | None, list[str]]:
    """Voice that speaks a text in a segment; None, and a notice, if it is not fit to be a reference."""
    audio = {"waveform": under_ceiling(segment.waveform[None, None]), "sample_rate": SAMPLE_RATE}
    try:
        with_voice(scene, audio, text)
    except ValueError as error:
        return None, [f"The first segment cannot serve as the reference voice of the others: {error}"]
    return Voice(audio, text), []


def footage_of(segment: Segment) -> Footage:
    """A segment as the clip that the next one continues."""
    return Footage(segment.frames.float() / 255, Fraction(FPS), Sound(segment.waveform[None], SAMPLE_RATE))
