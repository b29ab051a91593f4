"""Setup of audio-driven generation: the picture for a given sound, lip-synced to it.

Source: UniAVGen (arXiv:2511.03334), section 3.5, and its inference release.
Dimension key: B batch, H and W pixel rows and columns.
"""

from dataclasses import replace

import torch
from torch import Tensor

from ....uniavgen_core.media.audio.quiet_sound import quiet_notices
from ....uniavgen_core.media.audio.sound import Sound, cut, mel_of
from ....uniavgen_core.media.restore import Source
from ....uniavgen_core.media.time_spans import Spans
from ....uniavgen_core.shapes import FPS, MEL_RATE, video_frames_covering, video_frames_in
from ....uniavgen_core.tasks import AUDIO_DRIVEN, JOINT, Task
from ..conditioning.spoken_texts import set_sound_text
from ..media.footage import first_sound
from ..media.source_media import SourceMedia
from ..sampling.joint_latent import keep_audio
from .joint_setup import prepare_joint
from .task_scene import IMAGE, LONGEST_SECONDS, PreparedTask, Scene

MATCH_AUDIO, SET_SECONDS = "match_audio", "set_seconds"
NO_SOUND = "No audio is connected, so audio is generated too."


def prepare_audio_driven(
    scene: Scene,
    length: str,
    seconds: float,
    image: Tensor | None = None,
    audio: dict | None = None,
    audio_transcript: str = "",
) -> PreparedTask:
    """Prepare the picture of an AUDIO to be generated, and sound after one that is shorter than the clip.

    The clip is as long as its sound (``MATCH_AUDIO``), or lasts ``seconds`` (``SET_SECONDS``). An image (B, H, W, 3) is
    the person and the first frame. The text of a sound as long as the clip takes the place of the scene's transcript.
    """
    wanted = seconds if length == SET_SECONDS else None
    if audio is None:
        prepared = prepare_joint(scene, wanted or scene.video_vae.seconds, image)
        return replace(prepared, notices=(NO_SOUND, *prepared.notices))
    own, notices = first_sound(audio, "the audio")
    own, about_length = _at_most(own, wanted or LONGEST_SECONDS)
    notices += [*about_length, *quiet_notices(own, "the audio")]
    is_whole = wanted is None or own.seconds >= wanted - 1 / FPS
    frames = video_frames_covering(own.seconds) if wanted is None or is_whole else video_frames_in(wanted)
    scene, cropped = scene.sized_for(image, IMAGE)
    scene, latent = scene.with_image(image, scene.empty(frames))
    mel, gain = mel_of(own, frames)
    mel = mel if is_whole else mel[: int(own.seconds * MEL_RATE)]
    scene, said = _with_words(scene, audio_transcript, None if is_whole else len(mel) / MEL_RATE)
    latent = keep_audio(latent, mel, torch.zeros(len(mel)))
    source = Source(sound=own, audio_kept=Spans(((0.0, own.seconds),)), ends_with_source=is_whole)
    return PreparedTask(scene, latent, SourceMedia(source, gain), (*notices, *said, *cropped))


def drive_by_sound(prepared: PreparedTask, sound: dict, text: str, frames: int, task: Task) -> PreparedTask:
    """A task of ``frames`` video frames whose lips an AUDIO drives; ``text`` is what that says."""
    own, notices = first_sound(sound, "the audio")
    own, about_length = _at_most(own, frames / FPS)
    mel, gain = mel_of(own, frames)
    positive, said = set_sound_text(prepared.scene.positive, text, None, prepared.scene.as_released)
    scene = replace(prepared.scene, positive=positive).with_directions(task)
    source = replace(prepared.source_media.source, sound=own, audio_kept=Spans(((0.0, own.seconds),)))
    media = replace(prepared.source_media, source=source, gain=gain)
    latent = keep_audio(prepared.latent, mel, torch.zeros(len(mel)))
    notices = (*prepared.notices, *notices, *about_length, *quiet_notices(own, "the audio"), *said)
    return PreparedTask(scene, latent, media, notices)


def _with_words(scene: Scene, text: str, end: float | None) -> tuple[Scene, tuple[str, ...]]:
    """Scene with the words and the directions of a sound that ends at ``end`` seconds, None for the clip's end."""
    positive, notices = set_sound_text(scene.positive, text, end, scene.as_released)
    scene = replace(scene, positive=positive)
    return scene.with_directions(AUDIO_DRIVEN if end is None else JOINT), notices  # after its end, sound is made too


def _at_most(sound: Sound, seconds: float) -> tuple[Sound, list[str]]:
    """A sound cut to a length, and a notice if it was longer."""
    if sound.seconds <= seconds:
        return sound, []
    notice = f"The audio lasts {sound.seconds:.2f} s; it is cut to the clip's {seconds:.2f} s."
    return cut(sound, 0.0, seconds), [notice]
