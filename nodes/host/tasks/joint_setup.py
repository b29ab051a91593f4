"""Setup of joint generation: picture and sound from a transcript, in the model's own voice or that of a recording.

Source: UniAVGen (arXiv:2511.03334), section 3.5, and its inference release.
Dimension key: B batch, H and W pixel rows and columns, R mel frames of the voice.
"""

from dataclasses import replace

from torch import Tensor

from ....uniavgen_core.media.audio.reference_voice import prepare_reference_voice as prepare_recording
from ....uniavgen_core.media.audio.reference_voice import reference_mel
from ....uniavgen_core.shapes import video_frames_in
from ....uniavgen_core.tasks import JOINT, REFERENCE_VOICE
from ..conditioning.pass_settings import REFERENCE_VOICE_KEY
from ..conditioning.spoken_texts import prepare_voice_text
from ..media.footage import first_sound
from .task_scene import IMAGE, PreparedTask, Scene

NO_VOICE = "No reference voice is connected, so the model chooses a voice."


def prepare_joint(scene: Scene, seconds: float, image: Tensor | None = None) -> PreparedTask:
    """Prepare picture and sound to be generated from a transcript; an image is (B, H, W, 3)."""
    scene, notices = scene.sized_for(image, IMAGE)
    scene, latent = scene.with_image(image, scene.empty(video_frames_in(seconds)))
    return PreparedTask(scene.with_directions(JOINT), latent, notices=tuple(notices))


def prepare_reference_voice(
    scene: Scene, seconds: float, image: Tensor | None = None, voice: dict | None = None, voice_transcript: str = ""
) -> PreparedTask:
    """Prepare picture and sound to be generated in the voice of an AUDIO; an image is (B, H, W, 3)."""
    if voice is None:
        prepared = prepare_joint(scene, seconds, image)
        return replace(prepared, notices=(NO_VOICE, *prepared.notices))
    scene, notices = with_voice(scene, voice, voice_transcript)
    prepared = prepare_joint(scene, seconds, image)
    scene = prepared.scene.with_directions(REFERENCE_VOICE)
    return replace(prepared, scene=scene, notices=(*notices, *prepared.notices))


def with_voice(scene: Scene, voice: dict, text: str) -> tuple[Scene, list[str]]:
    """Scene that speaks in the voice of an AUDIO, and notices; ``text`` is what the voice says, blank if not known."""
    mel, notices = voice_mel(voice)
    said = prepare_voice_text(text, scene.as_released)
    scene = scene.with_reference(REFERENCE_VOICE_KEY, mel[None, None]).with_speech(voice_transcript=said.text)
    return scene, [*notices, *said.notices]


def voice_mel(voice: dict) -> tuple[Tensor, list[str]]:
    """Normalised mel of a reference voice, (R, 80), and notices."""
    sound, notices = first_sound(voice, "the reference voice")
    prepared = prepare_recording(sound)
    return reference_mel(prepared.waveform), [*notices, *prepared.notices]
