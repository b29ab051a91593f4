"""Finished segments of a long video on disk, so that a stopped run goes on where it was.

Dimension key: F video frames, H and W pixel rows and columns, N samples.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ....uniavgen_core.atomic_write import atomic_write

KEY = "key"


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

    The first key names all but the texts; ``folder`` is for the stores of all runs.
    """

    def __init__(self, folder: Path, first_key: str) -> None:
        self.first_key = first_key
        self.folder = folder / f"long_{first_key[:12]}"

    def path(self, number: int) -> Path:
        return self.folder / f"segment_{number + 1:03}.safetensors"

    def load(self, number: int, key: str) -> Segment | None:
        """The segment if it is there, whole, and was made from the same things."""
        path = self.path(number)
        try:
            with safe_open(path, "pt") as file:
                if (file.metadata() or {}).get(KEY) != key:
                    return None
                return Segment(file.get_tensor("frames"), file.get_tensor("waveform"))
        except (OSError, SafetensorError):
            return None

    def save(self, number: int, key: str, segment: Segment) -> None:
        """Write a segment in one move."""
        path = self.path(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {"frames": segment.frames.contiguous(), "waveform": segment.waveform.contiguous()}
        with atomic_write(path) as partial:
            save_file(tensors, partial, metadata={KEY: key})


class FinishedSegments:
    """Finished segments of one run, read from the disk one by one when they are asked for."""

    def __init__(self, store: SegmentStore) -> None:
        self.store, self.keys = store, []

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
            ValueError: If its file is gone or has been replaced.
        """
        segment = self.store.load(number, self.keys[number])
        if segment is None:
            raise ValueError(
                f"Segment {number + 1} of the long video is no longer in {self.store.folder}. Keep that folder until "
                "the video is saved; to make the segment again, change the seed and run once more."
            )
        return segment


def key_of(*parts: Any) -> str:
    """A name for nested plain values and tensors: equal for equal content, on any machine."""
    digest = hashlib.sha256()
    for part in _flat(parts):
        digest.update(part)
    return digest.hexdigest()


def _flat(value: Any) -> Iterator[bytes]:
    if isinstance(value, Tensor):
        yield f"{value.dtype}{tuple(value.shape)}".encode()
        yield value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() if value.numel() else b""
    elif isinstance(value, dict):
        for name in sorted(value, key=str):
            yield f"{name}:".encode()
            yield from _flat(value[name])
    elif isinstance(value, list | tuple):
        yield f"[{len(value)}".encode()
        for item in value:
            yield from _flat(item)
    else:
        yield f"{type(value).__name__}:{value!r};".encode()
