"""Checkpoints that are whole or not there: folders written under another name, sealed with a manifest, moved in one go.

A folder of many files is sealed and forced to the disk as a whole, as ``atomic_write`` does for one file.
A damaged one is named in a warning and passed over, never deleted.
"""

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from ..atomic_write import force_to_disk

MANIFEST = "manifest.json"
PARTIAL, DAMAGED = ".partial", ".damaged"
_CHUNK = 2**22


class Checkpoints:
    """The checkpoints of one run.

    Attributes:
        folder: Where they lie, as ``step-00000120``.
        keep: How many of the newest are kept.
        damaged: Those that were found damaged; they stay.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self.keep = keep
        self.damaged: set[Path] = set()

    def path(self, step: int) -> Path:
        """Folder of the checkpoint after ``step`` steps."""
        return self.folder / f"step-{step:08d}"

    def found(self) -> list[Path]:
        """All checkpoints, newest first, whole or not."""
        return sorted(
            (path for path in self.folder.glob("step-*") if path.suffix == "" and path.is_dir()), reverse=True
        )

    def newest(self) -> Path | None:
        """The newest whole checkpoint, or None; warns of newer ones that are damaged."""
        for path in self.found():
            fault = find_fault(path)
            if fault is None:
                return path
            self.damaged.add(path)
            warnings.warn(f"The checkpoint {path} is damaged and passed over: {fault}.", stacklevel=2)
        return None

    def begin(self, step: int) -> Path:
        """An empty folder to write the checkpoint into; what a broken run left half-written is removed."""
        for path in self.folder.glob(f"step-*{PARTIAL}"):
            shutil.rmtree(path)
        partial = self.path(step).with_suffix(PARTIAL)
        partial.mkdir(parents=True)
        return partial

    def finish(self, step: int) -> Path:
        """Seal what was written since ``begin``, give it its name, and remove the oldest; returns the checkpoint."""
        partial, target = self.path(step).with_suffix(PARTIAL), self.path(step)
        seal(partial)
        if target.exists():
            target.replace(_free_name(target.with_suffix(DAMAGED)))
            self.damaged.discard(target)
        partial.replace(target)
        force_to_disk(self.folder)
        for old in self.found()[self.keep :]:
            # Reading all of an old checkpoint only to delete it would take minutes; sizes are compared at once.
            if old not in self.damaged and find_fault(old, contents=False) is None:
                shutil.rmtree(old)
        return target

    def save(self, step: int, write: Callable[[Path], None]) -> Path:
        """Begin, write and finish in one process."""
        write(self.begin(step))
        return self.finish(step)


def seal(folder: Path) -> None:
    """Write the manifest of a folder, and everything in it through to the disk."""
    entries = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            entries[path.relative_to(folder).as_posix()] = {"bytes": path.stat().st_size, "sha256": _digest(path)}
        force_to_disk(path)
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps({"files": entries}, indent=1), encoding="utf-8")
    force_to_disk(manifest)
    force_to_disk(folder)


def find_fault(folder: Path, contents: bool = True) -> str | None:
    """Fault of a checkpoint, in words; None if it has none.

    Args:
        folder: The checkpoint.
        contents: Whether files are read and compared, not only their sizes.
    """
    try:
        entries = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        for name, entry in entries.items():
            path = folder / name
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                return f"{MANIFEST} names {name}, which lies outside of it"
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != entry["bytes"]:
                return f"{name} has {path.stat().st_size} bytes, not {entry['bytes']}"
            if contents and _digest(path) != entry["sha256"]:
                return f"the contents of {name} have changed"
    except OSError as error:
        return f"{MANIFEST} cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"{MANIFEST} is not a manifest"
    return None


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _free_name(path: Path) -> Path:
    number = 0
    while path.exists():
        number += 1
        path = path.with_name(f"{path.stem}{DAMAGED}{number}")
    return path
