"""Setup of new lips in a user's video: all around a mouth or a face stays, inside it the face speaks anew.

The picture around the region enters the network clean, as the reference image does; ``Decode`` restores it bit for bit
at the video's own size and rate.
Dimension key: F video frames, H and W pixel rows and columns, T latent frames, h and w latent rows and columns.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ....uniavgen_core.media.audio.reference_voice import LONGEST_VOICE, SHORTEST_VOICE
from ....uniavgen_core.media.audio.sound import cut
from ....uniavgen_core.media.faces.face_detection import FaceDetector
from ....uniavgen_core.media.faces.mouth_regions import MOUTH, FaceRegion, find_region
from ....uniavgen_core.media.restore import Source
from ....uniavgen_core.media.video.frames import fit_frame_count, resample_frames
from ....uniavgen_core.media.video.latent_masks import to_latent_mask
from ....uniavgen_core.shapes import FPS, video_frames_covering
from ....uniavgen_core.tasks import AUDIO_DRIVEN, RELIP
from ..conditioning.face_inputs import find_faces_in_images
from ..conditioning.pass_settings import REFERENCE_IMAGE_KEY, Surroundings, set_pass
from ..media.clip_size import AS_THE_PICTURE
from ..media.footage import Footage, decode_video
from ..media.source_media import SourceMedia
from ..sampling.joint_latent import keep_around
from .audio_driven_setup import drive_by_sound
from .joint_setup import with_voice
from .task_scene import LONGEST_SECONDS, PreparedTask, Scene

CONFIDENCE = 0.6
_WHOLE = 0.98
"""Share of a picture from which on a mask covers all of it."""


@dataclass(frozen=True)
class RelipInputs:
    """Values of the sockets of new lips.

    Attributes:
        video: The VIDEO.
        region: One of ``mouth_regions.REGIONS``, where no mask is given.
        mask: The region, (F or 1, H, W), or None to find the main face.
        sound: AUDIO that drives the lips; None to generate one.
        sound_text: What it says.
        voice: AUDIO whose voice speaks; None for the video's own sound.
        voice_text: What the voice says.
        surroundings: Value of a ``Surroundings``: how the network gets what is kept.
    """

    video: Any
    region: str = MOUTH
    mask: Tensor | None = None
    sound: dict | None = None
    sound_text: str = ""
    voice: dict | None = None
    voice_text: str = ""
    surroundings: str = Surroundings.AS_TRAINED.value


def prepare_relip(scene: Scene, inputs: RelipInputs) -> PreparedTask:
    """Prepare new lips, and their sound unless it is given.

    Raises:
        ValueError: If the video cannot be read or is too long, no face is found, or the mask does not fit.
    """
    footage, notices = decode_video(inputs.video, "the video")
    if footage.seconds > LONGEST_SECONDS:
        raise ValueError(
            f"The video lasts {footage.seconds:.0f} s; at most {LONGEST_SECONDS:.0f} s can get new lips at once. Cut "
            "it with 'Trim Video', and join the parts afterwards."
        )
    region, about_region = _region(footage.frames, inputs)
    if scene.size.kind == AS_THE_PICTURE:
        scene = scene.stretching(footage.frames)  # a crop might take the mouth
    scene, cropped = scene.sized_for(footage.frames, "the video")
    count = video_frames_covering(footage.seconds)
    frames = _at_model_rate(footage.frames, footage, count)
    clean = scene.encode(frames)
    scene = scene.with_reference(REFERENCE_IMAGE_KEY, scene.encode(frames[:1]))
    mask = to_latent_mask(_at_model_rate(region[..., None], footage, count)[..., 0], clean.shape[2:])
    latent = keep_around(scene.empty(count), clean, (mask > 0).float())
    source = Source(footage.frames, footage.fps, region=region, ends_with_source=True)
    scene = scene.with_directions(RELIP)
    scene = replace(scene, positive=set_pass(scene.positive, surroundings=Surroundings(inputs.surroundings)))
    prepared = PreparedTask(scene, latent, SourceMedia(source, video=inputs.video))
    prepared = _with_sound(prepared, inputs, footage, count)
    return replace(prepared, notices=(*notices, *about_region, *cropped, *prepared.notices))


def _at_model_rate(frames: Tensor, footage: Footage, count: int) -> Tensor:
    """Frames (F, H, W, C) at the model's 16 a second, ``count`` of them."""
    return fit_frame_count(resample_frames(frames, float(footage.fps), FPS), count)


def _with_sound(prepared: PreparedTask, inputs: RelipInputs, footage: Footage, count: int) -> PreparedTask:
    """The task with a given sound that drives the lips, or with a voice for a generated one."""
    if inputs.sound is not None:
        return drive_by_sound(prepared, inputs.sound, inputs.sound_text, count, AUDIO_DRIVEN)
    voice, own = inputs.voice, footage.sound
    if voice is None and own is not None and own.seconds >= SHORTEST_VOICE:
        own = cut(own, 0.0, LONGEST_VOICE)
        voice = {"waveform": own.waveform[None], "sample_rate": own.sample_rate}
    if voice is None:
        return replace(prepared, notices=("The video has no sound to take the voice from, so the model chooses one.",))
    scene, notices = with_voice(prepared.scene, voice, inputs.voice_text)
    return replace(prepared, scene=scene, notices=tuple(notices))


def _region(frames: Tensor, inputs: RelipInputs) -> tuple[Tensor, list[str]]:
    """Weight of what is generated in each pixel of the video's frames, (F, H, W), and notices."""
    if inputs.mask is not None:
        return _given_region(frames, inputs.mask), []
    faces = find_faces_in_images(frames, FaceDetector(CONFIDENCE).find)
    found = find_region(faces, tuple(frames.shape[1:3]), inputs.region)
    if found is None:
        raise ValueError(
            "No face was found in the video, so there are no lips to generate. Connect a mask of the mouth or the face."
        )
    return torch.from_numpy(found.weights), _face_notices(found, len(frames))


def _face_notices(found: FaceRegion, frames: int) -> list[str]:
    notices = []
    if found.faces > 1:
        notices.append(f"{found.faces} faces were found; the main one speaks. For another, connect a mask of it.")
    if found.seen < frames:
        notices.append(
            f"The face is seen in {found.seen} of {frames} frames; the picture stays as it was in the others."
        )
    return notices


def _given_region(frames: Tensor, mask: Tensor) -> Tensor:
    """A user's mask for every frame, at the video's size; refused where it cannot be meant."""
    count, height, width = frames.shape[:3]
    if mask.ndim != 3 or len(mask) not in (1, count):
        raise ValueError(
            f"The mask has {len(mask)} pictures, the video {count}: give one mask for all, or one for each frame."
        )
    mask = F.interpolate(mask[:, None].float().cpu(), size=(height, width), mode="bilinear", antialias=True)[:, 0]
    mask = mask.clamp(0, 1).expand(count, -1, -1)
    covered = float((mask > 0).float().mean())
    if covered == 0:
        raise ValueError("The mask is empty: nothing would be generated. Draw it over the mouth or the face.")
    if covered >= _WHOLE:
        raise ValueError("The mask covers the whole picture: nothing would be kept. Draw it over mouth or face.")
    return mask
