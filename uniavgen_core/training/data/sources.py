"""Where clips come from: a folder with a manifest, tar shards, or toons."""

from pathlib import Path

from .manifest import open_manifest
from .record import ClipSource
from .shards import open_shards
from .toons import open_toons


def open_source(text: str) -> ClipSource:
    """Open what a command line names.

    Args:
        text: A folder with ``manifest.jsonl`` or the manifest itself; a path of tar shards, with braces for several;
            or ``toon:COUNT[:FIRST_SEED]``.

    Raises:
        ImportError: If shards are named and ``webdataset`` is not installed.
        ValueError: If there is nothing there that can be read; says what to write.
    """
    if text.startswith("toon:"):
        return open_toons(text)
    if text.endswith(".tar"):
        return open_shards(text)
    path = Path(text)
    if not path.exists():
        raise ValueError(
            f"{text} is not there. Name a folder with a manifest.jsonl, tar shards such as clips/{{000..009}}.tar, or "
            "toon:COUNT."
        )
    return open_manifest(path)
