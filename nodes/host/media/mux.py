"""Muxing of pictures and sound into one file, which appears only when it is complete."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from heapq import merge
from pathlib import Path

import av
from av.container import OutputContainer

from ....uniavgen_core.atomic_write import atomic_write
from .digital_source import KEY, append_xmp, source_type_tags
from .stream_copy import OriginalVideo
from .stream_encoders import EncodedPictures, EncodedSound

FORMATS = {".mp4": "mp4", ".mkv": "matroska", ".flac": "flac"}
OPTIONS = {".mp4": {"movflags": "use_metadata_tags+faststart"}}
"""Muxer options: tags of any name, and all tags at the start of the file, where ComfyUI's editor reads the workflow."""


def write_video(
    path: Path,
    pictures: EncodedPictures | OriginalVideo,
    sound: EncodedSound | None,
    tags: Mapping[str, str],
    step: Callable[[], None],
) -> None:
    """Write a video file.

    Args:
        path: Path with the suffix that ``pictures`` needs.
        pictures: Frames to encode, or packets to copy.
        sound: Sound to encode, or None.
        tags: Metadata, including the digital source type.
        step: Called once per frame; if it raises, no file is left behind.
    """
    with _output_file(path, tags) as container:
        frames = pictures.add_to(container, step)
        samples = iter(()) if sound is None else sound.add_to(container)
        for packet in merge(frames, samples, key=_seconds):
            container.mux(packet)


def write_sound(path: Path, sound: EncodedSound, tags: Mapping[str, str]) -> None:
    """Write an audio file."""
    with _output_file(path, tags) as container:
        for packet in sound.add_to(container):
            container.mux(packet)


def with_source_type(tags: Mapping[str, str], source_type: str) -> dict[str, str]:
    """Copy of ``tags`` with a digital source type."""
    return {**tags, **source_type_tags(source_type)}


def _seconds(packet: av.Packet) -> Fraction:
    """Time of decoding; an encoder or a copied file gives every packet one."""
    return (packet.dts or 0) * packet.time_base


@contextmanager
def _output_file(path: Path, tags: Mapping[str, str]) -> Iterator[OutputContainer]:
    """Container to write into; the file gets its final name when it is complete."""
    with atomic_write(path) as unfinished:
        with av.open(str(unfinished), "w", format=FORMATS[path.suffix], options=OPTIONS.get(path.suffix)) as container:
            container.metadata.update(tags)
            yield container
        if path.suffix == ".mp4":
            append_xmp(unfinished, tags[KEY])
