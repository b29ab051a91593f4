"""A user's inputs for a long video, and the video that they ask for.

Dimension key: B batch, H and W pixel rows and columns.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ....uniavgen_core.config import TextConfig
from ....uniavgen_core.media.audio.quiet_sound import quiet_notices
from ....uniavgen_core.media.sentence_subject import subject
from ....uniavgen_core.text.transcript import PreparedText
from ..conditioning.spoken_texts import WITHOUT_WORDS, prepare_field, prepare_voice_text, require_transcript
from ..media.clip_size import MATCH_INPUT
from ..media.drawn_pictures import photograph_notices
from ..media.footage import batch_notices, first_sound
from ..media.stream_copy import content_of
from ..media.video_spans import VideoSpans
from ..tasks.task_scene import IMAGE, Scene
from .audio_driven_segments import AudioDrivenVideo, plan_sound
from .dubbing_segments import DubbedVideo, length_notices, plan_dubbing
from .plans import SegmentSettings, plan_script
from .segmented_video import LongVideo, Voice
from .spoken_segments import SpokenVideo

FIT_TEXT, FULL_SEGMENTS = "fit_text", "full_segments"
LONGEST = 3600.0
"""Seconds of the longest sound or video that is taken."""
VIDEO, SOUND = "the video", "the audio"
NO_SCRIPT = f"The words of the audio are missing. Write what is said in it into 'script'. {WITHOUT_WORDS}"
NO_VOICE = "The reference voice is not used, because the audio already has a voice."
BOTH = "Connect audio or a video, not both: with audio, the video is generated; with a video, the speech."


@dataclass(frozen=True)
class LongVideoInputs:
    """Inputs of a long video, besides models, conditionings and sampling.

    Attributes:
        script: Transcript of the whole video, one line or more; of a sound, its words, or blank.
        segment_seconds: Longest segment.
        keep_seconds: Length of the end of a segment that the next one goes on from.
        length: ``FULL_SEGMENTS`` or ``FIT_TEXT``.
        seed: Seed of the first segment.
        image: The person, (B, H, W, 3), or None.
        voice: AUDIO of someone speaking; None for the voice of the first segment.
        voice_transcript: Transcript of the voice.
        audio: AUDIO that drives the lips; None to speak the script.
        video: VIDEO to be dubbed; None to generate pictures.
    """

    script: str
    segment_seconds: float
    keep_seconds: float
    length: str
    seed: int
    image: Tensor | None = None
    voice: dict | None = None
    voice_transcript: str = ""
    audio: dict | None = None
    video: Any = None

    def plan(self, scene: Scene, text: TextConfig) -> tuple[LongVideo, list[str]]:
        """The video to make, and notices about what it is made from.

        Raises:
            ValueError: If there is nothing to say, segments would add nothing, or a sound or a video cannot be used.
        """
        if self.audio is not None and self.video is not None:
            raise ValueError(BOTH)
        if self.video is not None:
            return self._dubbing(scene, text)
        scene, notices = scene.sized_for(self.image, IMAGE)
        notices += [*batch_notices(self.image, IMAGE), *photograph_notices(scene.video_vae, self.image)]
        film, about = self._spoken(scene, text) if self.audio is None else self._audio_driven(scene, self.audio, text)
        return film, [*notices, *about]

    @property
    def made_from(self) -> tuple[Any, ...]:
        """All that segments are made from here, besides their texts; stored ones are found by values and order."""
        return (
            self.image, self.voice, self.voice_transcript,
            self.segment_seconds, self.keep_seconds, self.length, self.seed,
            *([] if self.audio is None else [self.audio]),
            *([] if self.video is None else [content_of(self.video)]),
        )  # fmt: skip

    @property
    def _settings(self) -> SegmentSettings:
        return SegmentSettings(self.segment_seconds, self.keep_seconds, self.length == FIT_TEXT, self.seed)

    def _prepared_voice(self) -> tuple[Voice | None, list[str]]:
        """The voice with its text prepared, if there is one, and notices."""
        text = PreparedText("") if self.voice is None else prepare_voice_text(self.voice_transcript)
        return None if self.voice is None else Voice(self.voice, text.text), list(text.notices)

    def _spoken(self, scene: Scene, text: TextConfig) -> tuple[LongVideo, list[str]]:
        """The video that speaks the script."""
        said = require_transcript(self.script, field="script")
        voice, about_voice = self._prepared_voice()
        plan = plan_script(said.text, self._settings, text)
        return SpokenVideo(scene, plan, self.image, voice), [*said.notices, *about_voice]

    def _audio_driven(self, scene: Scene, sound: dict, text: TextConfig) -> tuple[LongVideo, list[str]]:
        """The video that a sound drives, with the script as its words."""
        own, notices = first_sound(sound, SOUND)
        _require_at_most_an_hour(own.seconds, SOUND, "Trim Audio Duration")
        said = prepare_field("script", self.script)
        notices += [*said.notices, *([] if said.text else [NO_SCRIPT]), *([] if self.voice is None else [NO_VOICE])]
        film = AudioDrivenVideo(scene, plan_sound(own, said.text, self._settings), self.image, None, own, text)
        return film, [*notices, *quiet_notices(own, SOUND)]

    def _dubbing(self, scene: Scene, text: TextConfig) -> tuple[LongVideo, list[str]]:
        """The user's video with the script as its new words."""
        said = require_transcript(self.script, field="script")
        voice, about_voice = self._prepared_voice()
        video, about_video = VideoSpans.of(self.video, VIDEO)
        _require_at_most_an_hour(video.seconds, VIDEO, "Trim Video")
        first = video.own_frames(0, 1)
        if scene.size.kind == MATCH_INPUT:
            scene = scene.stretching(first)  # nobody sees it, and a crop might take the mouth
        scene, cropped = scene.sized_for(first, VIDEO)
        about_length = length_notices(said.text, video.seconds, text)
        notices = [*about_video, *cropped, *photograph_notices(scene.video_vae, first), *about_length]
        plan = plan_dubbing(video, said.text, self._settings, text)
        film = DubbedVideo(scene, plan, self.image, voice, video)
        return film, [*notices, *said.notices, *about_voice]


def _require_at_most_an_hour(seconds: float, what: str, node: str) -> None:
    """Refuse what is too long, before it is worked on."""
    if seconds > LONGEST:
        raise ValueError(
            f"{subject(what)} lasts {seconds / 60:.0f} min; at most {LONGEST / 60:.0f} min are possible. Cut it with "
            f"'{node}', and join the results."
        )
