"""Setup of new lips in a user's video: all around a mouth or a face stays, inside it the face speaks anew.

The picture around the region enters the network clean, as the reference image does; ``Decode`` restores it bit for bit
at the video's own size and rate.
Dimension key: F video frames, H and W pixel rows and columns, T latent frames, h and w latent rows and columns.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ....uniavgen_core.media.audio.reference_voice import LONGEST_VOICE, SHORTEST_VOICE
from ....uniavgen_core.media.audio.sound import cut
from ....uniavgen_core.media.faces.face_detection import FaceDetector, available_detector
from ....uniavgen_core.media.faces.mouth_regions import MOUTH, FaceRegion, find_region, view_around
from ....uniavgen_core.media.restore import Source
from ....uniavgen_core.media.video.frames import fit_frame_count, resample_frames
from ....uniavgen_core.media.video.latent_masks import to_latent_mask
from ....uniavgen_core.shapes import FPS, video_frames_covering
from ....uniavgen_core.tasks import AUDIO_DRIVEN, RELIP
from ..conditioning.face_inputs import find_faces_in_images
from ..conditioning.pass_settings import REFERENCE_IMAGE_KEY, Surroundings, set_pass
from ..media.footage import Footage, decode_video
from ..media.source_media import SourceMedia
from ..sampling.joint_latent import keep_around
from .audio_driven_setup import drive_by_sound
from .joint_setup import with_voice
from .task_scene import LONGEST_SECONDS, PreparedTask, Scene

CONFIDENCE = 0.6
MISSED = (
    "The mask touches none of the faces found in the video; the area it covers is generated anyway. Draw it over the "
    "mouth or the face that should speak."
)
_LOOKED_AT = 8
FACE_CROP, FULL_FRAME = "face_crop", "full_frame"
_WHOLE = 0.98
"""Share of a picture from which on a mask covers all of it."""


@dataclass(frozen=True)
class RelipInputs:
    """Values of the sockets of new lips.

    Attributes:
        video: The VIDEO.
        region: One of ``mouth_regions.REGIONS``, where no mask is given.
        mask: The region, (F or 1, H, W), or None to find the main face.
        audio: AUDIO that drives the lips; None to generate one.
        audio_transcript: What it says.
        voice: AUDIO whose voice speaks; None for the video's own sound.
        voice_transcript: What the voice says.
        view: ``FACE_CROP`` or ``FULL_FRAME``: what the network sees.
        surroundings: Value of a ``Surroundings``: how the network gets what is kept.
    """

    video: Any
    region: str = MOUTH
    mask: Tensor | None = None
    audio: dict | None = None
    audio_transcript: str = ""
    voice: dict | None = None
    voice_transcript: str = ""
    view: str = FACE_CROP
    surroundings: str = Surroundings.AUTO.value


@dataclass(frozen=True)
class _Shot:
    """A video, its region, and the part that the network sees.

    Attributes:
        footage: The video.
        region: Weight of what is generated in each pixel of its frames, (F, H, W).
        view: Left, top, right and bottom of that part, pixels; None for all of it.
    """

    footage: Footage
    region: Tensor
    view: tuple[int, int, int, int] | None

    def seen(self, pictures: Tensor) -> Tensor:
        """The part of pictures (F, H, W, ...) that the network sees."""
        left, top, right, bottom = self.view or (0, 0, *pictures.shape[2:0:-1])
        return pictures[:, top:bottom, left:right]

    @property
    def count(self) -> int:
        """Frames of the clip at the model's rate."""
        return video_frames_covering(self.footage.seconds)

    def at_model_rate(self, pictures: Tensor) -> Tensor:
        """The part of pictures (F, H, W, C) that the network sees, 16 times a second."""
        return fit_frame_count(resample_frames(self.seen(pictures), float(self.footage.fps), FPS), self.count)


def prepare_relip(scene: Scene, inputs: RelipInputs) -> PreparedTask:
    """Prepare new lips, and their sound unless it is given.

    Raises:
        ValueError: If the video cannot be read or is too long, no face is found, or the mask does not fit.
    """
    footage, notices = decode_video(inputs.video, "the video")
    if footage.seconds > LONGEST_SECONDS:
        raise ValueError(
            f"The video lasts {footage.seconds:.0f} s; at most {LONGEST_SECONDS:.0f} s can get new lips at once. Cut "
            "it with 'Trim Video', and join the parts."
        )
    shot, about_region = _shot(footage, inputs)
    scene, latent = _with_picture(scene, shot)
    scene = scene.with_directions(RELIP)
    scene = replace(scene, positive=set_pass(scene.positive, surroundings=Surroundings(inputs.surroundings)))
    source = Source(footage.frames, footage.fps, region=shot.region, view=shot.view, ends_with_source=True)
    prepared = PreparedTask(scene, latent, SourceMedia(source, video=inputs.video))
    prepared = _with_sound(prepared, inputs, footage, shot.count)
    return replace(prepared, notices=(*notices, *about_region, *prepared.notices))


def _with_picture(scene: Scene, shot: _Shot) -> tuple[Scene, dict]:
    """Scene with a shot's first frame as the person, and LATENT with all of its picture but the region."""
    scene = scene.stretching(shot.seen(shot.footage.frames))  # what is generated returns to the shot's proportions
    frames = shot.at_model_rate(shot.footage.frames)
    clean = scene.encode(frames)
    scene = scene.with_reference(REFERENCE_IMAGE_KEY, scene.encode(frames[:1]))
    latent_frames, rows, columns = clean.shape[2:]
    mask = to_latent_mask(shot.at_model_rate(shot.region[..., None])[..., 0], (latent_frames, rows, columns))
    return scene, keep_around(scene.empty(shot.count), clean, (mask > 0).float())


def _with_sound(prepared: PreparedTask, inputs: RelipInputs, footage: Footage, count: int) -> PreparedTask:
    """The task with a given sound that drives the lips, or with a voice for a generated one."""
    if inputs.audio is not None:
        return drive_by_sound(prepared, inputs.audio, inputs.audio_transcript, count, AUDIO_DRIVEN)
    voice, own = inputs.voice, footage.sound
    if voice is None and own is not None and own.seconds >= SHORTEST_VOICE:
        own = cut(own, 0.0, LONGEST_VOICE)
        voice = {"waveform": own.waveform[None], "sample_rate": own.sample_rate}
    if voice is None:
        return replace(prepared, notices=("The video has no audio to clone a voice from, so the model chooses one.",))
    try:
        scene, notices = with_voice(prepared.scene, voice, inputs.voice_transcript)
    except ValueError as error:
        if inputs.voice is not None:
            raise
        return replace(
            prepared, notices=(f"No voice could be taken from the video's audio, so the model chooses one: {error}",)
        )
    return replace(prepared, scene=scene, notices=tuple(notices))


def _shot(footage: Footage, inputs: RelipInputs) -> tuple[_Shot, list[str]]:
    """A video with its region, given or found, and notices."""
    frames, size = footage.frames, (footage.frames.shape[1], footage.frames.shape[2])
    if inputs.mask is not None:
        region = _given_region(frames, inputs.mask)
        notices = _missed_faces(frames, region)
        columns, rows = ((region > 0).any(0).any(dim).nonzero()[:, 0] for dim in (0, 1))
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    else:
        found = find_region(find_faces_in_images(frames, FaceDetector(CONFIDENCE).find), size, inputs.region)
        if found is None:
            raise ValueError(
                "No face was found in the video, so there are no lips to generate. Connect a mask of the mouth or the "
                "face."
            )
        region, notices, box = torch.from_numpy(found.weights), _face_notices(found, len(frames)), found.face
    return _Shot(footage, region, view_around(box, size) if inputs.view == FACE_CROP else None), notices


def _missed_faces(frames: Tensor, region: Tensor) -> list[str]:
    """Notice about a region that touches no face, where faces are found; a few frames are looked at."""
    detector = available_detector()
    if detector is None:
        return []
    looked_at = slice(None, None, max(1, len(frames) // _LOOKED_AT))
    boxes = [
        (weights, face.box.round().astype(int).clip(0))
        for weights, faces in zip(
            region[looked_at], find_faces_in_images(frames[looked_at], detector.find), strict=True
        )
        for face in faces
    ]
    touched = any(bool((weights[top:bottom, left:right] > 0).any()) for weights, (left, top, right, bottom) in boxes)
    return [MISSED] if boxes and not touched else []


def _face_notices(found: FaceRegion, frames: int) -> list[str]:
    notices = []
    if found.faces > 1:
        notices.append(f"{found.faces} faces were found; the main one speaks. For another, connect a mask of it.")
    if found.seen < frames:
        notices.append(f"The face is seen in {found.seen} of {frames} frames; the others are not changed.")
    return notices


def _given_region(frames: Tensor, mask: Tensor) -> Tensor:
    """A user's mask for every frame, at the video's size; refused where it cannot be meant."""
    count, height, width = frames.shape[:3]
    if mask.ndim != 3 or len(mask) not in (1, count):
        raise ValueError(
            f"The mask has {len(mask)} frames, the video {count}. Use one mask for all frames, or one for each."
        )
    mask = F.interpolate(mask[:, None].float().cpu(), size=(height, width), mode="bilinear", antialias=True)[:, 0]
    mask = mask.clamp(0, 1).expand(count, -1, -1)
    covered = float((mask > 0).float().mean())
    if covered == 0:
        raise ValueError("The mask is empty: nothing would be generated. Draw it over the mouth or the face.")
    if covered >= _WHOLE:
        raise ValueError("The mask covers the whole frame: nothing would be kept. Draw it over the mouth or the face.")
    return mask
