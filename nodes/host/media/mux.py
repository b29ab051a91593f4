"""Pictures and sound into one file, whole or not at all."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from heapq import merge
from pathlib import Path

import av

from .digital_source import KEY, append_xmp, tags_of
from .stream_copy import OriginalVideo
from .stream_encoders import EncodedPictures, EncodedSound

FORMATS = {".mp4": "mp4", ".mkv": "matroska", ".flac": "flac"}
OPTIONS = {".mp4": {"movflags": "use_metadata_tags+faststart"}}
"""Any name for a tag, and all tags at the start of the file, where ComfyUI's editor looks for the workflow."""


def write_video(
    path: Path,
    pictures: EncodedPictures | OriginalVideo,
    sound: EncodedSound | None,
    tags: Mapping[str, str],
    step: Callable[[], None],
) -> None:
    """Write a video file.

    Args:
        path: Its name, with the suffix that ``pictures`` asks for.
        pictures: Frames to encode, or packets to copy.
        sound: Sound to encode, or None.
        tags: Metadata; the digital source type among them.
        step: Called once a frame; what it raises ends the writing, and no file is left.
    """
    with _written(path, tags) as container:
        frames = pictures.add_to(container, step)
        samples = iter(()) if sound is None else sound.add_to(container)
        for packet in merge(frames, samples, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)


def write_sound(path: Path, sound: EncodedSound, tags: Mapping[str, str]) -> None:
    """Write a file of sound alone."""
    with _written(path, tags) as container:
        for packet in sound.add_to(container):
            container.mux(packet)


def with_source_type(tags: Mapping[str, str], kind: str) -> dict[str, str]:
    """Tags with a digital source type."""
    return {**tags, **tags_of(kind)}


@contextmanager
def _written(path: Path, tags: Mapping[str, str]) -> Iterator[av.container.OutputContainer]:
    """A file to write under another name; it gets its own once it is whole."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        with av.open(str(unfinished), "w", format=FORMATS[path.suffix], options=OPTIONS.get(path.suffix)) as container:
            container.metadata.update(tags)
            yield container
        if path.suffix == ".mp4":
            append_xmp(unfinished, tags[KEY])
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
