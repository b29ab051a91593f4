"""Sources of clips: a folder with a manifest, tar shards, or a Python package that makes them."""

from pathlib import Path

from ..plugins import attribute_of
from .clip_manifest import open_manifest
from .clip_record import ClipSource
from .webdataset_shards import open_shards


def open_source(text: str) -> ClipSource:
    """Open what a command line names.

    Args:
        text: A folder with ``manifest.jsonl`` or the manifest itself; a path of tar shards, with braces for several;
            or ``PACKAGE:REST`` for a Python package whose ``open_clips(REST)`` gives a ``ClipSource``, such as
            ``toon:COUNT[:FIRST_SEED]``.

    Raises:
        ImportError: If shards are named and ``webdataset`` is not installed.
        ValueError: If there is nothing there that can be read; says what to write.
    """
    package, colon, rest = text.partition(":")
    open_clips = attribute_of(package, "open_clips") if colon else None
    if open_clips is not None:
        return open_clips(rest)
    if text.endswith(".tar"):
        return open_shards(text)
    path = Path(text)
    if not path.exists():
        raise ValueError(
            f"{text} is not there. Name a folder with a manifest.jsonl, tar shards such as clips/{{000..009}}.tar, or "
            "toon:COUNT."
        )
    return open_manifest(path)
