"""The five tasks, each as what it keeps, what it refers to, and which direction of the interaction is on.

Source: UniAVGen (arXiv:2511.03334), section 3.5, and its inference release; continuation is in the paper only.
Dimension key: F video frames, H and W pixel rows and columns, T video latents, S mel frames.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ....uniavgen_core.config import Interaction
from ....uniavgen_core.media.audio.kept_sound import mel_of, peak_of, quiet_notices
from ....uniavgen_core.media.audio.mel import gain_to_peak
from ....uniavgen_core.media.audio.reference_voice import prepare_reference_voice, reference_mel
from ....uniavgen_core.media.audio.sound import Sound, cut
from ....uniavgen_core.media.restore import Source
from ....uniavgen_core.media.segment_joins import trailing_ramp
from ....uniavgen_core.media.time_spans import EVERYTHING, Spans
from ....uniavgen_core.media.video.frames import crop_to_shape, fit_frame_count, resample_frames
from ....uniavgen_core.shapes import (
    FPS,
    MEL_RATE,
    SAMPLE_RATE,
    video_frames_covering,
    video_frames_in,
    video_frames_within,
)
from ..conditioning.pass_settings import REFERENCE_IMAGE_KEY, REFERENCE_VOICE_KEY, set_pass
from ..conditioning.spoken_texts import KEPT_TEXT, prepare_field, prepare_voice_text, set_sound_text
from ..media.clip_size import AS_THE_PICTURE, CROP, STRETCH, crop_notices, picture_size
from ..media.footage import Footage, decode_video, first_sound
from ..media.source_media import Given
from ..sampling.joint_latent import keep_audio, keep_first_latent, keep_video
from .task_scene import Scene

LONGEST_SECONDS = 120.0
SHORTEST_SECONDS = 5 / FPS
SECONDS_WITHOUT_SOUND = 2.0625
"""Length of a clip that should follow a sound and has none."""
IMAGE = "the image"
NO_VOICE = "No reference voice is connected, so the model chooses a voice."


@dataclass(frozen=True)
class Prepared:
    """What a sampler needs for a task, and what the decoder puts back afterwards.

    Attributes:
        scene: Conditionings with references and switches.
        latent: LATENT with its kept parts.
        given: The user's own material.
        notices: What the user should know.
    """

    scene: Scene
    latent: dict
    given: Given = field(default_factory=Given)
    notices: tuple[str, ...] = ()


def speak(scene: Scene, image: Tensor | None, seconds: float) -> Prepared:
    """Generate picture and sound from a transcript, with an image as the person and the first frame if there is one."""
    scene, notices = scene.sized_for(image, IMAGE)
    scene, latent = with_image(scene, image, scene.empty(video_frames_in(seconds)))
    return Prepared(scene.with_interaction(Interaction.BOTH), latent, notices=tuple(notices))


def speak_with_voice(scene: Scene, image: Tensor | None, seconds: float, voice: dict | None, text: str) -> Prepared:
    """The same in the voice of a reference; without one, as ``speak``."""
    if voice is None:
        prepared = speak(scene, image, seconds)
        return replace(prepared, notices=(NO_VOICE, *prepared.notices))
    scene, notices = with_voice(scene, voice, text)
    prepared = speak(scene, image, seconds)
    scene = prepared.scene.with_interaction(Interaction.AUDIO_TO_VIDEO)
    if scene.as_released:
        scene = replace(scene, positive=set_pass(scene.positive, late_null=Interaction.BOTH))
    return replace(prepared, scene=scene, notices=(*notices, *prepared.notices))


def follow_sound(scene: Scene, image: Tensor | None, audio: dict | None, seconds: float | None, text: str) -> Prepared:
    """Generate the picture that goes with a sound.

    Args:
        scene: The scene.
        image: The person and the first frame, or None.
        audio: The sound, AUDIO; None lets the sound be generated too.
        seconds: Length of the clip, with sound generated where the given one ends; None for the sound's own length.
        text: What the given sound says. Of a sound as long as the clip it is the speech text; without it the scene's
            transcript is.
    """
    if audio is None:
        notice = "No sound is connected, so sound is generated too."
        prepared = speak(scene, image, seconds or SECONDS_WITHOUT_SOUND)
        return replace(prepared, notices=(notice, *prepared.notices))
    sound, notices = first_sound(audio, "the sound")
    sound, more = _at_most(sound, seconds or LONGEST_SECONDS)
    more += quiet_notices(sound, "the sound")
    whole = seconds is None or sound.seconds >= seconds - 1 / FPS
    frames = video_frames_covering(sound.seconds) if whole else video_frames_in(seconds)
    scene, cropped = scene.sized_for(image, IMAGE)
    scene, latent = with_image(scene, image, scene.empty(frames))
    mel, gain = mel_of(sound, frames)
    mel = mel if whole else mel[: int(sound.seconds * MEL_RATE)]
    positive, said = set_sound_text(scene.positive, text, None if whole else len(mel) / MEL_RATE, scene.as_released)
    interaction = Interaction.AUDIO_TO_VIDEO if whole else Interaction.BOTH
    scene = replace(scene, positive=positive).with_interaction(interaction)
    latent = keep_audio(latent, mel, torch.zeros(len(mel)))
    source = Source(sound=sound, audio_kept=Spans(((0.0, sound.seconds),)), ends_with_source=whole)
    return Prepared(scene, latent, Given(source, gain), (*notices, *more, *said, *cropped))


def dub(scene: Scene, video: Any) -> Prepared:
    """Generate the sound that goes with a video."""
    footage, notices = decode_video(video, "the video")
    if footage.seconds > LONGEST_SECONDS:
        raise ValueError(
            f"The video lasts {footage.seconds:.0f} s; at most {LONGEST_SECONDS:.0f} s can be dubbed at once. Cut it "
            "with 'Trim Video' and dub its parts one by one."
        )
    if scene.size.kind == AS_THE_PICTURE:
        scene = scene.stretching(footage.frames)  # nobody sees it, and a crop might take the mouth
    scene, cropped = scene.sized_for(footage.frames, "the video")
    count = video_frames_covering(footage.seconds)
    frames = fit_frame_count(resample_frames(footage.frames, float(footage.fps), FPS), count)
    clean = scene.encode(frames)
    latent = keep_video(scene.empty(count), clean, torch.zeros(clean.shape[2]))
    scene = scene.with_reference(REFERENCE_IMAGE_KEY, scene.encode(frames[:1]))
    source = Source(footage.frames, footage.fps, video_kept=EVERYTHING, ends_with_source=True)
    given = Given(source, video=video)
    return Prepared(scene.with_interaction(Interaction.VIDEO_TO_AUDIO), latent, given, (*notices, *cropped))


@dataclass(frozen=True)
class Continuation:
    """How a clip goes on.

    Attributes:
        keep_seconds: How much of its end the model sees.
        seconds: How much is generated after it.
        whole: Whether the result holds the whole clip, or begins where the kept part does.
        ramp_seconds: How much of the kept sound's end the model may change, ever more towards the end.
        text: What the kept part says.
        gain: Factor from the level of the clip's sound to the model's; None for the one that its peak asks for.
    """

    keep_seconds: float
    seconds: float
    whole: bool = True
    ramp_seconds: float = 0.0
    text: str = ""
    gain: float | None = None


def continue_clip(scene: Scene, video: Any, plan: Continuation, image: Tensor | None = None) -> Prepared:
    """Generate what comes after a video and its sound; the person is that of ``image``, or of the first frame."""
    kept_seconds = video_frames_in(plan.keep_seconds) / FPS
    footage, notices = decode_video(video, "the clip", None if plan.whole else kept_seconds)
    return continue_footage(scene, footage, plan, image, tuple(notices))


def continue_footage(
    scene: Scene, footage: Footage, plan: Continuation, image: Tensor | None = None, notices: tuple[str, ...] = ()
) -> Prepared:
    """``continue_clip`` for a video that is already decoded."""
    if footage.seconds < SHORTEST_SECONDS:
        raise ValueError(
            f"The clip lasts {footage.seconds:.2f} s; at least {SHORTEST_SECONDS:.2f} s are needed to go on from. Use "
            "the task 'speak' with its picture as the image."
        )
    kept = min(video_frames_in(plan.keep_seconds), video_frames_within(footage.seconds))
    total = max(kept + 4, video_frames_covering(kept / FPS + plan.seconds))
    lead = max(0.0, footage.seconds - kept / FPS)
    person = footage.frames[:1]
    if image is not None:
        person, cropped = _person_of(image[:1], footage, scene.size.fit)
        notices = (*notices, *cropped)
    scene = scene.stretching(footage.frames)  # what is generated returns to the clip's own size
    pictures = _last_frames(footage, kept)
    reference = scene.encode(person)
    clean = scene.encode(pictures)
    latent = keep_video(scene.empty(total), clean, torch.zeros(clean.shape[2]))
    sound = footage.sound
    if sound is None:
        notices = (*notices, "The clip has no sound; its kept part is taken as silent.")
        sound = Sound(torch.zeros(1, round(footage.seconds * SAMPLE_RATE)), SAMPLE_RATE)
    gain = plan.gain
    if gain is None:
        notices = (*notices, *quiet_notices(sound, "the sound of the clip"))
        gain = gain_to_peak(peak_of(sound))
    tail = cut(sound, min(lead, sound.seconds - 0.1), footage.seconds)
    mel, _ = mel_of(tail, kept, gain)
    ramp = round(plan.ramp_seconds * MEL_RATE)
    latent = keep_audio(latent, mel, trailing_ramp(len(mel), min(ramp, len(mel))) if ramp else torch.zeros(len(mel)))
    scene = scene.with_reference(REFERENCE_IMAGE_KEY, reference).with_interaction(Interaction.BOTH)
    said = prepare_field(KEPT_TEXT, plan.text, scene.as_released)
    scene = scene.with_speech(start=len(mel) / MEL_RATE, kept_text=said.text)
    source = Source(footage.frames, footage.fps, sound, EVERYTHING, EVERYTHING, lead)
    return Prepared(scene, latent, Given(source, gain), (*notices, *said.notices))


def _person_of(image: Tensor, footage: Footage, fit: str) -> tuple[Tensor, list[str]]:
    """An image (1, H, W, 3) in the proportions of a video, in which it is stretched as the video is, and notices."""
    shape = picture_size(footage.frames)
    if fit == STRETCH:
        return image, []
    remedy = "To keep all of it, give an image of the clip's proportions."
    return crop_to_shape(image, *shape), crop_notices(IMAGE, picture_size(image), shape, CROP, remedy)


def with_image(scene: Scene, image: Tensor | None, latent: dict) -> tuple[Scene, dict]:
    """Scene and latent with an image (B, H, W, 3), if there is one, as the person and the first frame."""
    if image is None:
        return scene, latent
    clean = scene.encode(image[:1])
    return scene.with_reference(REFERENCE_IMAGE_KEY, clean), keep_first_latent(latent, clean)


def with_voice(scene: Scene, voice: dict, text: str) -> tuple[Scene, list[str]]:
    """Scene that speaks in the voice of an AUDIO, and notices."""
    mel, notices = voice_mel(voice)
    said = prepare_voice_text(text, scene.as_released)
    scene = scene.with_reference(REFERENCE_VOICE_KEY, mel[None, None]).with_speech(voice_text=said.text)
    return scene, [*notices, *said.notices]


def voice_mel(voice: dict) -> tuple[Tensor, list[str]]:
    """Normalised mel of a reference voice, (R, 80), and notices."""
    sound, notices = first_sound(voice, "the reference voice")
    prepared = prepare_reference_voice(sound)
    return reference_mel(prepared.waveform), [*notices, *prepared.notices]


def _at_most(sound: Sound, seconds: float) -> tuple[Sound, list[str]]:
    """A sound cut to a length, and a notice if it was longer."""
    if sound.seconds <= seconds:
        return sound, []
    notice = f"The sound lasts {sound.seconds:.2f} s; it is cut to the clip's {seconds:.2f} s."
    return cut(sound, 0.0, seconds), [notice]


def _last_frames(footage: Footage, count: int) -> Tensor:
    """The last ``count`` frames at 16 fps, counted back from the footage's end."""
    times = footage.seconds - (count - torch.arange(count, dtype=torch.float64) - 0.5) / FPS
    index = (times * float(footage.fps)).floor().long().clamp(0, len(footage.frames) - 1)
    return footage.frames[index]
