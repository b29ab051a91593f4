"""The format that clips are brought to before they are encoded: size, length, and treatment of faces.

Dimension key: H rows, W columns.
"""

import re
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch

from ...media.video.frames import Fit, fit_size, resize_frames
from ...shapes import FPS, TEMPORAL_FACTOR, AVShape, video_frames_of


class Faces(Enum):
    """Treatment of faces: find them; find them and leave out clips without; or store no masks."""

    FIND = "find"
    REQUIRE = "require"
    NONE = "none"


@dataclass(frozen=True)
class ClipForm:
    """Size and length that clips are brought to.

    Attributes:
        size: Width and height, pixels: what has another shape is cropped in the middle. Or the shorter side alone: the
            longer one keeps its proportion and is rounded up to a multiple of 32, as the release does.
        most_frames: Longest clip, video frames, 4n + 1; the released model knows 81.
        fewest_frames: Shorter clips are left out; a second says two words.
        skip_long: Leave out clips that are longer, instead of cutting them. A transcript says all of a clip, so that of
            a cut clip says more than is heard.
        sound_only: Leave pictures alone, for the stage that trains the audio branch by itself; then files of sound will
            do, and lengths are still counted in frames.

    Raises:
        ValueError: If a side is not a multiple of 32, or a length not 4n + 1, or the lengths are the wrong way round.
    """

    size: tuple[int, int] | int = 736
    most_frames: int = 81
    fewest_frames: int = 17
    skip_long: bool = False
    sound_only: bool = False

    def __post_init__(self) -> None:
        width, height = (self.size, self.size) if isinstance(self.size, int) else self.size
        for frames in (self.most_frames, self.fewest_frames):
            AVShape(width, height, frames)
        if self.fewest_frames > self.most_frames:
            raise ValueError(f"fewest_frames is {self.fewest_frames}, more than most_frames, {self.most_frames}.")

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that a picture of ``width`` x ``height`` gets."""
        return fit_size(width, height, self.size) if isinstance(self.size, int) else self.size

    def resized(self, picture: np.ndarray) -> np.ndarray:
        """Bring one picture, RGB (H, W, 3) uint8, to its size."""
        size = self.size_of(picture.shape[1], picture.shape[0])
        fit = Fit.STRETCH if isinstance(self.size, int) else Fit.CROP
        frames = resize_frames(torch.from_numpy(picture)[None].float() / 255, *size, fit)
        return (frames[0] * 255).round().to(torch.uint8).numpy()

    def frames_of(self, available: int) -> int:
        """Video frames kept of ``available`` ones: the most that are 4n + 1; 0 if there are too few."""
        frames = min(self.most_frames, video_frames_of((available - 1) // TEMPORAL_FACTOR + 1))
        return frames if frames >= self.fewest_frames else 0

    def is_cut(self, seconds: float) -> bool:
        """True if of a clip of this length more is lost than the rest of a latent."""
        return seconds * FPS >= self.most_frames + TEMPORAL_FACTOR


def parse_size(text: str) -> tuple[int, int] | int:
    """Read ``1280x736``, or ``736`` for the shorter side.

    Raises:
        ValueError: If it is neither.
    """
    match = re.fullmatch(r"(\d+)(?:[x×](\d+))?", text.strip().lower())  # noqa: RUF001 - the sign for "times"
    if match is None:
        raise ValueError(f"The size is {text!r}; write 1280x736, or 736 for the shorter side alone.")
    return int(match[1]) if match[2] is None else (int(match[1]), int(match[2]))
