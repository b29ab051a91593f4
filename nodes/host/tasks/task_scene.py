"""The start and the end of every task's setup: a scene, and what a sampler and a decoder need of it.

Dimension key: F video frames, H and W pixel rows and columns, T video latents, h and w latent rows and columns.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import comfy.model_management
from torch import Tensor

from ....uniavgen_core.shapes import AVShape
from ....uniavgen_core.tasks import Task
from ..conditioning.pass_settings import REFERENCE_IMAGE_KEY, set_pass, set_speech, set_values
from ..media.clip_size import STRETCH, ClipSize, picture_size
from ..media.source_media import SourceMedia
from ..media.vaes import encode_pictures
from ..sampling.joint_latent import empty_latent, keep_first_latent

IMAGE = "the image"
LONGEST_SECONDS = 120.0


@dataclass(frozen=True)
class Scene:
    """Conditionings, VAE and size that a task starts from.

    Attributes:
        positive: CONDITIONING with caption and transcript.
        negative: CONDITIONING with the null caption.
        video_vae: VAE object for pictures; None where none is encoded.
        size: Size the clip is generated at; until ``sized_for``, perhaps one that its picture decides.
        as_released: Whether texts stay as they are written, and late null passes run as in the release.
    """

    positive: list
    negative: list
    video_vae: Any = None
    size: ClipSize = field(default_factory=ClipSize)
    as_released: bool = False

    def sized_for(self, pictures: Tensor | None, what: str) -> tuple["Scene", list[str]]:
        """The scene at the size it gets with pictures (F, H, W, 3) called ``what``, and notices."""
        picture = None if pictures is None else picture_size(pictures)
        notices = self.size.notices(self.video_vae, picture, what)
        return replace(self, size=self.size.resolved(self.video_vae, picture)), notices

    def with_directions(self, task: Task) -> "Scene":
        """The scene with the directions of a task on."""
        late_null = task.late_null_as_released if self.as_released else None
        return replace(self, positive=set_pass(self.positive, interaction=task.interaction, late_null=late_null))

    def with_reference(self, key: str, value: Tensor) -> "Scene":
        """The scene with a reference in both conditionings."""
        return replace(
            self, positive=set_values(self.positive, {key: value}), negative=set_values(self.negative, {key: value})
        )

    def with_image(self, image: Tensor | None, latent: dict) -> tuple["Scene", dict]:
        """Scene and LATENT with an image (B, H, W, 3), if there is one, as the person and the first frame."""
        if image is None:
            return self, latent
        clean = self.encode(image[:1])
        return self.with_reference(REFERENCE_IMAGE_KEY, clean), keep_first_latent(latent, clean)

    def with_speech(self, **changes: Any) -> "Scene":
        """The scene with changed fields of its speech."""
        return replace(self, positive=set_speech(self.positive, **changes))

    def empty(self, video_frames: int) -> dict:
        """Empty LATENT of the scene's size."""
        shape = AVShape(*self.size.pixels, video_frames)
        return empty_latent(shape, 1, comfy.model_management.intermediate_device())

    def encode(self, pictures: Tensor) -> Tensor:
        """Latents (1, 48, T, h, w) of pictures (F, H, W, 3)."""
        return encode_pictures(self.video_vae, pictures, self.size.pixels, self.size.fit)

    def stretching(self, pictures: Tensor) -> "Scene":
        """The scene at the size it gets with pictures (F, H, W, 3), all of which are stretched to it."""
        size = self.size.resolved(self.video_vae, picture_size(pictures))
        return replace(self, size=replace(size, fit=STRETCH))


@dataclass(frozen=True)
class PreparedTask:
    """Inputs of the sampler for a task, and the media that the decoder restores afterwards.

    Attributes:
        scene: Conditionings with references and directions.
        latent: LATENT with its kept parts.
        source_media: The user's own frames and sound.
        notices: What the user should know.
    """

    scene: Scene
    latent: dict
    source_media: SourceMedia = field(default_factory=SourceMedia)
    notices: tuple[str, ...] = ()
