"""The size of a clip, and notices about the parts of a picture that it crops.

Dimension key: F pictures, H and W pixel rows and columns.
"""

from dataclasses import dataclass
from math import log
from typing import Any

from torch import Tensor

from ....uniavgen_core.media.video.frames import Fit, crop_box, fit_size

SMALLEST, LARGEST = 32, 4096
CROP, STRETCH = Fit.CROP.value, Fit.STRETCH.value
MATCH_INPUT, CUSTOM_SIZE = "match_input", "custom"
PROPORTIONS = {
    "square": (1, 1),
    "portrait_3_4": (3, 4),
    "landscape_4_3": (4, 3),
    "portrait_9_16": (9, 16),
    "landscape_16_9": (16, 9),
}
NOTICED_SHARE = 0.05
"""Largest share of a picture that is cropped without a notice."""


@dataclass(frozen=True)
class ClipSize:
    """Size of a clip, as chosen by the user.

    Attributes:
        kind: ``match_input``, a key of ``PROPORTIONS``, or ``custom``.
        width: Width, pixels; only for ``custom``.
        height: Height, pixels; only for ``custom``.
        fit: ``crop`` or ``stretch``, for pictures of another aspect ratio.
        short_side: Shorter side, pixels, for all kinds but ``custom``; 0 for the one that the model was trained at.
    """

    kind: str = MATCH_INPUT
    width: int = 0
    height: int = 0
    fit: str = CROP
    short_side: int = 0

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height

    def resolved(self, video_vae: Any, picture: tuple[int, int] | None) -> "ClipSize":
        """Resolve the choice to a size of kind ``custom``, in pixels.

        For ``match_input``, the short side becomes the one that the model was trained at, the other side follows,
        and the whole picture is resized, as in the release. For a model that was trained at a few fixed sizes, the one
        with the nearest aspect ratio is taken.

        Args:
            video_vae: VAE object, which knows the sizes its model was trained at.
            picture: Width and height of the clip's picture, pixels; None without one.

        Raises:
            ValueError: If the size would be too large, or ``short_side`` is not a multiple of 32.
        """
        if self.kind == CUSTOM_SIZE:
            return self
        trained: tuple[tuple[int, int], ...] = video_vae.trained_sizes
        short_side, fit = self.short_side or video_vae.short_side, self.fit
        if self.kind in PROPORTIONS or picture is None:
            size = fit_size(*PROPORTIONS.get(self.kind, (1, 1)), short_side)
        elif trained and not self.short_side:
            size = min(trained, key=lambda size: abs(log(size[0] * picture[1] / (size[1] * picture[0]))))
        else:
            size, fit = fit_size(*picture, short_side), STRETCH
        if max(size) > LARGEST:
            raise ValueError(
                f"With a short side of {short_side} pixels the clip would be {_by(size)}; at most {LARGEST} pixels "
                "are possible. Crop the image first, or choose another size."
            )
        return ClipSize(CUSTOM_SIZE, *size, fit)

    def notices(self, video_vae: Any, picture: tuple[int, int] | None, name: str) -> list[str]:
        """Notices about this size for a picture.

        Args:
            video_vae: VAE object.
            picture: Width and height of the picture, pixels; None if there is none.
            name: Name of the picture in messages, such as ``the image``.
        """
        size = self.resolved(video_vae, picture)
        if picture is None:
            return [_no_picture(size)] if self.kind == MATCH_INPUT else []
        trained = " and ".join(map(_by, video_vae.trained_sizes))
        if self.kind == MATCH_INPUT:
            remedy = (
                f"The bundled model was trained at {trained} only. To keep all of it, at a size that the model was not "
                f"trained at, set short_side to {video_vae.short_side}."
            )
        elif trained:
            remedy = f"To keep all of it, choose the fit '{STRETCH}'."
        else:
            remedy = "To keep all of it, choose the size 'match input'."
        return crop_notices(name, picture, size.pixels, size.fit, remedy)


def picture_size(pictures: Tensor) -> tuple[int, int]:
    """Width and height of pictures (F, H, W, C)."""
    return pictures.shape[2], pictures.shape[1]


def crop_notices(name: str, picture: tuple[int, int], size: tuple[int, int], fit: str, remedy: str) -> list[str]:
    """Notices about a crop that removes a large part of a picture.

    Args:
        name: Name of the picture in messages, such as ``the image``.
        picture: Its width and height, pixels.
        size: Width and height after resizing, pixels.
        fit: ``crop`` or ``stretch``.
        remedy: Advice on how to keep the whole picture, a sentence.
    """
    left, top, columns, rows = crop_box(picture, size)
    share = 1 - columns * rows / (picture[0] * picture[1])
    if fit != CROP or share <= NOTICED_SHARE:
        return []
    if columns < picture[0]:
        sides = f"{left} columns on the left and {picture[0] - columns - left} on the right"
    else:
        sides = f"{top} rows at the top and {picture[1] - rows - top} at the bottom"
    return [
        f"{share:.0%} of {name} ({_by(picture)}) is cropped off to make it {_by(size)}: {sides}. The model does not "
        f"see them. {remedy}"
    ]


def _no_picture(size: ClipSize) -> str:
    return (
        f"There is no image to take the clip's proportions from, so the clip is a square of {_by(size.pixels)}. "
        "Connect an image, or choose another size."
    )


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
