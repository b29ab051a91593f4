"""Setup of continuation: what comes after a clip and its sound.

Source: UniAVGen (arXiv:2511.03334), section 3.5; it is not in the inference release.
Dimension key: B batch, H and W pixel rows and columns.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ....uniavgen_core.media.audio.mel import gain_to_peak
from ....uniavgen_core.media.audio.quiet_sound import quiet_notices
from ....uniavgen_core.media.audio.sound import Sound, cut, mel_of, peak_of
from ....uniavgen_core.media.restore import Source
from ....uniavgen_core.media.segment_joins import trailing_ramp
from ....uniavgen_core.media.time_spans import EVERYTHING
from ....uniavgen_core.media.video.frames import crop_to_shape
from ....uniavgen_core.shapes import (
    FPS,
    MEL_RATE,
    SAMPLE_RATE,
    video_frames_covering,
    video_frames_in,
    video_frames_within,
)
from ....uniavgen_core.tasks import CONTINUATION, JOINT
from ..conditioning.pass_settings import REFERENCE_IMAGE_KEY
from ..conditioning.spoken_texts import KEPT_TEXT, prepare_field
from ..media.clip_size import CROP, STRETCH, crop_notices, picture_size
from ..media.footage import Footage, decode_video
from ..media.source_media import SourceMedia
from ..sampling.joint_latent import keep_audio, keep_video
from .joint_setup import with_voice
from .task_scene import IMAGE, PreparedTask, Scene

WHOLE_CLIP, FROM_KEPT_PART = "whole_clip", "from_kept_part"
SHORTEST_SECONDS = 5 / FPS


@dataclass(frozen=True)
class ContinuationInputs:
    """Values of the task's sockets.

    Attributes:
        video: VIDEO to go on from.
        keep_seconds: Length of its end that the model sees.
        seconds: Length that is generated after it.
        result: ``WHOLE_CLIP`` if the result begins with the clip, ``FROM_KEPT_PART`` if with its kept part.
        kept_transcript: Transcript of the kept part, if anything is said in it.
        image: The person, (B, H, W, 3); None for the clip's first frame.
        voice: AUDIO of someone speaking; None for the model's own voice.
        voice_transcript: Transcript of that AUDIO, blank if not known.
    """

    video: Any
    keep_seconds: float
    seconds: float
    result: str
    kept_transcript: str = ""
    image: Tensor | None = None
    voice: dict | None = None
    voice_transcript: str = ""


@dataclass(frozen=True)
class Continuation:
    """Settings of the continuation of a decoded clip.

    Attributes:
        keep_seconds: Length of its end that the model sees.
        seconds: Length that is generated after it.
        kept_transcript: Transcript of the kept part.
        ramp_seconds: Length of the kept sound's end that the model may change, ever more towards the end.
        gain: Factor from the level of the clip's sound to the model's; None for the one that its peak asks for.
    """

    keep_seconds: float
    seconds: float
    kept_transcript: str = ""
    ramp_seconds: float = 0.0
    gain: float | None = None


def prepare_continuation(scene: Scene, inputs: ContinuationInputs) -> PreparedTask:
    """Prepare what comes after a VIDEO to be generated, in the voice of an AUDIO if there is one.

    Raises:
        ValueError: If the video cannot be read, or is too short.
    """
    notices: list[str] = []
    if inputs.voice is not None:
        scene, notices = with_voice(scene, inputs.voice, inputs.voice_transcript)
    kept_seconds = video_frames_in(inputs.keep_seconds) / FPS
    footage, about_video = decode_video(inputs.video, "the clip", None if inputs.result == WHOLE_CLIP else kept_seconds)
    plan = Continuation(inputs.keep_seconds, inputs.seconds, inputs.kept_transcript)
    prepared = continue_footage(scene, footage, plan, inputs.image)
    return replace(prepared, notices=(*notices, *about_video, *prepared.notices))


def continue_footage(scene: Scene, footage: Footage, plan: Continuation, image: Tensor | None = None) -> PreparedTask:
    """Prepare what comes after a decoded video; the person is that of an image (B, H, W, 3), or of the first frame."""
    if footage.seconds < SHORTEST_SECONDS:
        raise ValueError(
            f"The clip lasts {footage.seconds:.2f} s; at least {SHORTEST_SECONDS:.2f} s are needed to continue it. "
            f"Use the task '{JOINT.title}' ({JOINT.name}) with one of its frames as the image."
        )
    kept = min(video_frames_in(plan.keep_seconds), video_frames_within(footage.seconds))
    total = max(kept + 4, video_frames_covering(kept / FPS + plan.seconds))
    person, cropped = _person_of(image, footage, scene.size.fit)
    scene = scene.stretching(footage.frames)  # what is generated returns to the clip's own size
    reference = scene.encode(person)
    clean = scene.encode(_last_frames(footage, kept))
    latent = keep_video(scene.empty(total), clean, torch.zeros(clean.shape[2]))
    sound, gain, about_sound = _sound_of(footage, plan.gain)
    lead = max(0.0, footage.seconds - kept / FPS)
    mel, _ = mel_of(cut(sound, min(lead, sound.seconds - 0.1), footage.seconds), kept, gain)
    ramp = min(round(plan.ramp_seconds * MEL_RATE), len(mel))
    latent = keep_audio(latent, mel, trailing_ramp(len(mel), ramp))
    said = prepare_field(KEPT_TEXT, plan.kept_transcript, scene.as_released)
    scene = scene.with_reference(REFERENCE_IMAGE_KEY, reference).with_directions(CONTINUATION)
    scene = scene.with_speech(start=len(mel) / MEL_RATE, kept_transcript=said.text)
    source = Source(footage.frames, footage.fps, sound, EVERYTHING, EVERYTHING, lead)
    return PreparedTask(scene, latent, SourceMedia(source, gain), (*cropped, *about_sound, *said.notices))


def _person_of(image: Tensor | None, footage: Footage, fit: str) -> tuple[Tensor, list[str]]:
    """Picture of the person (1, H, W, 3) in the proportions of a video, with which it is stretched, and notices."""
    if image is None:
        return footage.frames[:1], []
    shape = picture_size(footage.frames)
    if fit == STRETCH:
        return image[:1], []
    remedy = "To keep all of it, give an image of the clip's proportions."
    return crop_to_shape(image[:1], *shape), crop_notices(IMAGE, picture_size(image), shape, CROP, remedy)


def _sound_of(footage: Footage, gain: float | None) -> tuple[Sound, float, list[str]]:
    """Sound of a video, silence if it has none; its gain to the model's level, and notices."""
    sound, notices = footage.sound, []
    if sound is None:
        notices = ["The clip has no audio; its kept part is treated as silent."]
        sound = Sound(torch.zeros(1, round(footage.seconds * SAMPLE_RATE)), SAMPLE_RATE)
    if gain is not None:
        return sound, gain, notices
    return sound, gain_to_peak(peak_of(sound)), [*notices, *quiet_notices(sound, "the audio of the clip")]


def _last_frames(footage: Footage, count: int) -> Tensor:
    """The last ``count`` frames at 16 fps, counted back from the footage's end."""
    times = footage.seconds - (count - torch.arange(count, dtype=torch.float64) - 0.5) / FPS
    index = (times * float(footage.fps)).floor().long().clamp(0, len(footage.frames) - 1)
    return footage.frames[index]
