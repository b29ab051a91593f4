"""Lengths and sizes of the clips that a model was trained on, from its file's metadata or a preset."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..config import RELEASE, RELEASED, TOON, ModelConfig
from ..shapes import FPS, SPATIAL_FACTOR, video_frames_of
from .config_checks import read_entry

TRAINED_KEY = "uniavgen_trained_on"
"""Metadata: JSON of a ``TrainedOn``."""


LARGEST = 1 << 20
"""Most frames of a clip, and most pixels of a side."""


@dataclass(frozen=True)
class TrainedOn:
    """Range of the clips in a model's training. Other clips are accepted, but their quality is lower.

    Attributes:
        fewest_frames: Shortest clip, video frames.
        most_frames: Longest clip, video frames.
        sizes: Widths and heights, pixels; empty if any aspect ratio is possible.
        short_side: Shorter side of a picture of any aspect ratio, pixels; None if only ``sizes`` are possible.
        longest_side: Upper bound of the longer side of such a picture, pixels; None for no bound.
        model: Name of the model in messages, as the subject of a sentence.
        regions: True if it does better with clean tokens, at timestep 0, around a generated part of the picture than
            with noised ones blended into each step.
    """

    fewest_frames: int
    most_frames: int
    sizes: tuple[tuple[int, int], ...] = ()
    short_side: int | None = None
    longest_side: int | None = None
    model: str = "This model"
    regions: bool = False

    def __post_init__(self) -> None:
        sides = [self.short_side, self.longest_side, *(side for size in self.sizes for side in size)]
        numbers = [self.fewest_frames, self.most_frames, *(side for side in sides if side is not None)]
        if not all(type(number) is int and 0 < number <= LARGEST for number in numbers):
            raise ValueError(f"frames and sides must be whole numbers from 1 to {LARGEST}")
        if not self.fewest_frames <= self.most_frames:
            raise ValueError(f"Clips of {self.fewest_frames} to {self.most_frames} frames are not a range of lengths.")

    @property
    def seconds(self) -> float:
        """Length of the longest clip, seconds."""
        return self.most_frames / FPS

    @property
    def is_bundled(self) -> bool:
        """True for the clips of the bundled model, whether its file names them or its configuration does."""
        return self.model == BUNDLED_CLIPS.model

    def knows_size(self, width: int, height: int) -> bool:
        """Return True if the model was trained on this size, or no size is known."""
        if not self.sizes and self.short_side is None:
            return True
        shorter, longer = sorted((width, height))
        of_side = shorter == self.short_side and longer <= (self.longest_side or longer)
        return of_side or (width, height) in self.sizes

    @property
    def lengths_in_words(self) -> str:
        """Range of lengths as text, such as ``2.06 s`` or ``1 to 5.06 s``."""
        shortest, longest = self.fewest_frames / FPS, f"{self.seconds:.3g} s"
        return longest if self.fewest_frames == self.most_frames else f"{shortest:.3g} to {longest}"

    @property
    def sizes_in_words(self) -> str:
        """Sizes as text, such as ``128x128 or 256x128``."""
        words = [f"{width}x{height}" for width, height in self.sizes]
        if self.short_side is not None:
            bound = f" and a longer one of up to {self.longest_side}" if self.longest_side else ""
            words.append(f"a shorter side of {self.short_side}{bound}")
        return " or ".join(words)


BUNDLED_CLIPS = TrainedOn(33, 33, ((128, 128), (256, 128)), model="The bundled model")
RELEASED_CLIPS = TrainedOn(81, 81, short_side=736, longest_side=1280, model="The model of the official weights")
"""The release generates 5.0625 s at once; its published clips measure 736x736 to 1280x736 and 736x1120."""


def _sizes_of(config: ModelConfig) -> ModelConfig:
    """Configuration without the fields that do not identify a model: character positions and variant."""
    text = replace(config.text, position_offset=0.0, position_scale=1.0, position_margin=0.0)
    return replace(config, text=text, variant=RELEASE)


KNOWN = {_sizes_of(TOON): BUNDLED_CLIPS, _sizes_of(RELEASED): RELEASED_CLIPS}
"""Training clips of models whose files have no such metadata, by configuration."""


def trained_on(config: ModelConfig, metadata: Mapping[str, str] | None = None) -> TrainedOn | None:
    """Clips that a model was trained on; None if unknown.

    Args:
        config: The model's configuration.
        metadata: The file's metadata with a ``uniavgen_trained_on`` entry.

    Raises:
        ValueError: If the metadata's entry ``uniavgen_trained_on`` cannot be read.
    """
    text = (metadata or {}).get(TRAINED_KEY)
    if text is not None:
        return read_entry(TrainedOn, text, TRAINED_KEY, _from_json)
    return KNOWN.get(_sizes_of(config))


def metadata_of_clips(seen: TrainedOn) -> dict[str, str]:
    """Metadata from which ``trained_on`` restores ``seen``."""
    return {TRAINED_KEY: json.dumps(asdict(seen))}


def clips_of_latents(shapes: Iterable[tuple[int, int, int]]) -> TrainedOn | None:
    """Range of the clips with latents of these shapes (T, H, W); None if there are none.

    Sizes with a common shorter side, as of clips of any aspect ratio, are summarised by that side.
    """
    seen = set(shapes)
    if not seen:
        return None
    frames = [video_frames_of(latents) for latents, _, _ in seen]
    sizes = sorted({(SPATIAL_FACTOR * columns, SPATIAL_FACTOR * rows) for _, rows, columns in seen if rows and columns})
    sides = {min(size) for size in sizes}
    if len(sizes) > 2 and len(sides) == 1:
        return TrainedOn(min(frames), max(frames), (), sides.pop(), max(map(max, sizes)))
    return TrainedOn(min(frames), max(frames), tuple(sizes))


def _from_json(sizes: Sequence[Sequence[int]] = (), **values: Any) -> TrainedOn:
    return TrainedOn(**values, sizes=tuple((width, height) for width, height in sizes))
