"""The start of every task: conditionings, a codec for pictures, and a size.

Dimension key: F video frames, H and W pixel rows and columns, T video latents, h and w latent rows and columns.
"""

from dataclasses import dataclass, replace
from typing import Any

import comfy.model_management
from torch import Tensor

from ....uniavgen_core.config import Interaction
from ....uniavgen_core.shapes import AVShape
from ..conditioning.pass_settings import set_pass, set_speech, set_values
from ..media.clip_size import STRETCH, ClipSize, picture_size
from ..media.picture_latents import encode_pictures
from ..sampling.joint_latent import empty_latent


@dataclass(frozen=True)
class Scene:
    """Conditionings, codec and size that a task starts from.

    Attributes:
        positive: CONDITIONING with caption and transcript.
        negative: CONDITIONING with the null caption.
        video_codec: VAE object for pictures.
        size: Size the clip is generated at; until ``sized_for``, perhaps one that its picture decides.
        as_released: Whether texts stay as they are written, and the voice task's late null pass runs as in the release.
    """

    positive: list
    negative: list
    video_codec: Any
    size: ClipSize
    as_released: bool = False

    def sized_for(self, pictures: Tensor | None, what: str) -> tuple["Scene", list[str]]:
        """The scene at the size it gets with pictures (F, H, W, 3) called ``what``, and notices."""
        picture = None if pictures is None else picture_size(pictures)
        notices = self.size.notices(self.video_codec, picture, what)
        return replace(self, size=self.size.resolved(self.video_codec, picture)), notices

    def with_interaction(self, interaction: Interaction) -> "Scene":
        """The scene with these directions on."""
        return replace(self, positive=set_pass(self.positive, interaction=interaction))

    def with_reference(self, key: str, value: Tensor) -> "Scene":
        """The scene with a reference in both conditionings."""
        return replace(
            self, positive=set_values(self.positive, {key: value}), negative=set_values(self.negative, {key: value})
        )

    def with_speech(self, **changes: Any) -> "Scene":
        """The scene with changed fields of its speech."""
        return replace(self, positive=set_speech(self.positive, **changes))

    def empty(self, video_frames: int) -> dict:
        """Empty LATENT of the scene's size."""
        shape = AVShape(*self.size.pixels, video_frames)
        return empty_latent(shape, 1, comfy.model_management.intermediate_device())

    def encode(self, pictures: Tensor) -> Tensor:
        """Latents (1, 48, T, h, w) of pictures (F, H, W, 3)."""
        return encode_pictures(self.video_codec, pictures, self.size.pixels, self.size.fit)

    def stretching(self, pictures: Tensor) -> "Scene":
        """The scene at the size it gets with pictures (F, H, W, 3), all of which are stretched to it."""
        size = self.size.resolved(self.video_codec, picture_size(pictures))
        return replace(self, size=replace(size, fit=STRETCH))
