"""Check of a GGUF file's header before the package ``gguf`` reads it, which trusts every count and length in it.

Source: the format's specification in ggml, ``docs/gguf.md``.
"""

import struct
from mmap import ACCESS_READ, mmap
from pathlib import Path

from .checked_files import damaged, require_file, shown

MAGIC = b"GGUF"
VERSIONS = (2, 3)
NUMBER_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Type of a value to its bytes."""
STRING, ARRAY = 8, 9
MOST_ENTRIES = 65_536
"""Most tensors, and most entries of metadata."""
MOST_ELEMENTS = 1 << 22
"""Most elements of all arrays of metadata; vocabularies of language models have a million."""
MOST_AXES = 8
"""Most axes of a tensor; ggml has four, but files of others have more."""
FEWEST_BITS = 1
"""Bits of a weight in the densest of all formats."""


def check_gguf_header(path: Path) -> None:
    """Check that all that a header announces lies within its file.

    Raises:
        CheckpointError: If it does not, or the file is not GGUF.
    """
    require_file(path)
    try:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            _Header(data).check()
    except (OSError, ValueError, struct.error) as error:
        raise damaged(path, error, "GGUF") from error


class _Header:
    """Walks through a header; every error is a ``ValueError`` that says what is wrong."""

    def __init__(self, data: mmap) -> None:
        self.data, self.size, self.place, self.elements = data, len(data), 0, 0

    def check(self) -> None:
        if self.data[:4] != MAGIC:
            raise ValueError("it does not begin as a GGUF file")
        self.place = 4
        version = self._number("<I")
        if version not in VERSIONS:
            raise ValueError(f"its version is {version}, not 2 or 3")
        tensors, entries = self._number("<Q"), self._number("<Q")
        if max(tensors, entries) > MOST_ENTRIES:
            raise ValueError(f"it announces {tensors} tensors and {entries} entries of metadata")
        for _ in range(entries):
            self._string()
            self._value(self._number("<I"))
        for _ in range(tensors):
            self._tensor()

    def _tensor(self) -> None:
        name, axes = self._string(), self._number("<I")
        if axes > MOST_AXES:
            raise ValueError(f"its tensor {name} has {axes} axes")
        count = 1
        for _ in range(axes):
            count *= self._number("<Q")
        self._number("<I")
        offset = self._number("<Q")
        if count * FEWEST_BITS > 8 * self.size or offset > self.size:
            raise ValueError(f"its tensor {name} is larger than the file")

    def _value(self, kind: int) -> None:
        if kind == STRING:
            self._string()
        elif kind == ARRAY:
            self._array()
        elif kind in NUMBER_BYTES:
            self._skip(NUMBER_BYTES[kind])
        else:
            raise ValueError(f"its metadata have a value of the unknown type {kind}")

    def _array(self) -> None:
        kind, count = self._number("<I"), self._number("<Q")
        self.elements += count
        if self.elements > MOST_ELEMENTS:
            raise ValueError(f"its metadata have arrays of {self.elements} elements")
        if kind == STRING:
            for _ in range(count):
                self._string()
        elif kind in NUMBER_BYTES:
            self._skip(count * NUMBER_BYTES[kind])
        else:
            raise ValueError(f"its metadata have an array of the type {kind}")

    def _string(self) -> str:
        length = self._number("<Q")
        start = self.place
        self._skip(length)
        return shown(self.data[start : min(self.place, start + 500)].decode("utf-8", "replace"))

    def _number(self, form: str) -> int:
        start = self.place
        self._skip(struct.calcsize(form))
        return struct.unpack(form, self.data[start : self.place])[0]

    def _skip(self, count: int) -> None:
        self.place += count
        if self.place > self.size:
            raise ValueError("it ends within its header")
