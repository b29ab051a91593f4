"""Finished segments of a long video on disk, so that a stopped run goes on where it was.

A segment is one file, compressed without loss. Its name holds its key, which names all it was made from, and the hash
of its content: a file is whole under that name, or it is set aside.

Dimension key: F video frames, H and W pixel rows and columns, N samples.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from av.error import FFmpegError
from torch import Tensor

from ....uniavgen_core.atomic_write import atomic_write
from ..content_keys import key_of
from ..media.disk_errors import naming_full_disk
from ..media.lossless_clip import read_lossless, write_lossless

PREFIX = "long_"
"""Beginning of the names of all folders of long videos."""
SUFFIX, DAMAGED = ".mkv", ".damaged"
DIGITS = 16
"""Hexadecimal digits of a key, and of a hash, in a name."""
WITHOUT_PICTURES = re.compile(r"_sound(\d+)_")


@dataclass(frozen=True)
class Segment:
    """One sampled segment, the part it shares with the segment before included.

    Attributes:
        frames: RGB at 16 fps, (F, H, W, 3) uint8; H and W are 0 where the pictures are the user's own.
        waveform: Sound at 24 kHz, at its mel's own level: peaks may be above full scale, (N,).
    """

    frames: Tensor
    waveform: Tensor


def without_pictures(frames: int) -> Tensor:
    """Frames of a segment whose pictures are the user's own, (F, 0, 0, 3)."""
    return torch.zeros(frames, 0, 0, 3, dtype=torch.uint8)


class SegmentStore:
    """Segments of one run, each under a key that names all it was made from.

    Attributes:
        first_key: Key of all but the texts.
        folder: The run's own folder, in that of all runs.
        damaged: Files that were found damaged and set aside.
    """

    def __init__(self, folder: Path, first_key: str) -> None:
        self.first_key = first_key
        self.folder = folder / f"{PREFIX}{first_key[:DIGITS]}"
        self.damaged: list[Path] = []

    def load(self, number: int, key: str) -> Segment | None:
        """The segment if it is there, whole, and was made from the same things; a damaged one is set aside."""
        for path in sorted(self.folder.glob(f"{_stem(number)}_*{key[:DIGITS]}_*{SUFFIX}")):
            segment = _read(path)
            if segment is not None:
                return segment
            aside = path.with_name(path.name + DAMAGED)
            with suppress(FileNotFoundError):  # another server has set it aside
                path.replace(aside)
                self.damaged.append(aside)
        return None

    def save(self, number: int, key: str, segment: Segment) -> None:
        """Write a segment in one move.

        Raises:
            ValueError: If it cannot be written; of a full disk it says where, how much is needed, and that the others
                stay.
        """
        kind = "" if segment.frames.numel() else f"sound{len(segment.frames)}_"
        name = f"{_stem(number)}_{kind}{key[:DIGITS]}_{_hash_of(segment)}{SUFFIX}"
        with naming_full_disk(self.folder / name, _need(segment, number)):
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.folder / name) as partial:
                write_lossless(partial, segment.frames, segment.waveform)

    def clear(self) -> None:
        """Delete all segments of the run."""
        shutil.rmtree(self.folder, ignore_errors=True)


class FinishedSegments:
    """Finished segments of one run, read from the disk one by one when they are asked for."""

    def __init__(self, store: SegmentStore) -> None:
        self.store, self.keys = store, list[str]()

    def add(self, key: str) -> None:
        """Add the next segment, which the store has under this key."""
        self.keys.append(key)

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Segment]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, number: int) -> Segment:
        """Read a segment; ``number`` counts from 0.

        Raises:
            ValueError: If its file is gone or damaged.
        """
        segment = self.store.load(number, self.keys[number])
        if segment is None:
            raise ValueError(
                f"Segment {number + 1} of the long video is no longer in {self.store.folder}, or is damaged. Toggle "
                "'start_over' in 'UniAVGen Long Video' and run the graph again to generate it again."
            )
        return segment


def _stem(number: int) -> str:
    return f"segment_{number + 1:03}"


def _read(path: Path) -> Segment | None:
    """The segment in a file; None if it is not whole."""
    sound_alone = WITHOUT_PICTURES.search(path.name)
    try:
        segment = Segment(*read_lossless(path, int(sound_alone[1]) if sound_alone else None))
    except (OSError, ValueError, RuntimeError, FFmpegError):
        return None
    return segment if path.stem.endswith(_hash_of(segment)) else None


def _hash_of(segment: Segment) -> str:
    """Hash of a segment's content, which its file's name holds."""
    return key_of(segment.frames, segment.waveform)[:DIGITS]


def _need(segment: Segment, number: int) -> str:
    """Need of a segment, for a disk that is full."""
    needed = (segment.frames.numel() + 4 * len(segment.waveform)) / 2**20
    return (
        f"segment {number + 1} needs up to {needed:.0f} MiB. Free that much and run the same graph again: the {number} "
        "segments before it are kept, and are not sampled again."
    )
