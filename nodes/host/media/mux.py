"""Muxing of pictures and sound into one file, which appears only when it is complete, and its mark as made by AI.

Source of the mark: IPTC Photo Metadata Standard, 'Digital Source Type', and its vocabulary
cv.iptc.org/newscodes/digitalsourcetype; for its place in an mp4 file, Adobe's XMP Specification, part 3, 'MPEG-4'.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from heapq import merge
from pathlib import Path
from uuid import UUID

import av
from av.container import OutputContainer

from ....uniavgen_core.atomic_write import atomic_write
from .disk_errors import NO_SPACE, naming_full_disk
from .stream_copy import OriginalVideo
from .stream_encoders import EncodedPictures, EncodedSound

FORMATS = {".mp4": "mp4", ".mkv": "matroska", ".flac": "flac"}
OPTIONS = {".mp4": {"movflags": "use_metadata_tags+faststart"}}
"""Muxer options: tags of any name, and all tags at the start of the file, where ComfyUI's editor reads the workflow."""
VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED = f"{VOCABULARY}trainedAlgorithmicMedia"
COMPOSITE = f"{VOCABULARY}compositeWithTrainedAlgorithmicMedia"
"""Digital source type of generated media combined with a user's own."""
SOURCE_TYPE_KEY = "digital_source_type"
XMP_UUID = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac")
XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/">
   <Iptc4xmpExt:DigitalSourceType>{source_type}</Iptc4xmpExt:DigitalSourceType>
   <xmp:CreatorTool>ComfyUI-UniAVGen</xmp:CreatorTool>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>
"""


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
    """Copy of ``tags`` with a digital source type, ``GENERATED`` or ``COMPOSITE``."""
    verb = "partly generated" if source_type == COMPOSITE else "generated"
    return {**tags, SOURCE_TYPE_KEY: source_type, "comment": f"This clip was {verb} by AI (UniAVGen in ComfyUI)."}


def _seconds(packet: av.Packet) -> Fraction:
    """Time of decoding; an encoder or a copied file gives every packet one."""
    return (packet.dts or 0) * packet.time_base


@contextmanager
def _output_file(path: Path, tags: Mapping[str, str]) -> Iterator[OutputContainer]:
    """Container to write into; the file gets its final name when it is complete."""
    with naming_full_disk(path, NO_SPACE), atomic_write(path) as unfinished:
        with av.open(str(unfinished), "w", format=FORMATS[path.suffix], options=OPTIONS.get(path.suffix)) as container:
            container.metadata.update(tags)
            yield container
        if path.suffix == ".mp4":
            _append_xmp(unfinished, tags[SOURCE_TYPE_KEY])


def _append_xmp(path: Path, source_type: str) -> None:
    """Append a digital source type to an mp4 file as XMP, in a box that players skip."""
    payload = XMP_UUID.bytes + XMP.format(source_type=source_type).encode()
    with path.open("ab") as file:
        file.write((8 + len(payload)).to_bytes(4, "big") + b"uuid" + payload)
