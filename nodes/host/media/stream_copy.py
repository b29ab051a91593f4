"""Stream copy of the user's own video: packets are written as they are, without decoding or encoding."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.container import InputContainer, OutputContainer
from comfy_api.latest import InputImpl

MP4_CODECS = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4"})
MKV_CODECS = frozenset({"prores", "dnxhd", "ffv1", "mjpeg", "vp8", "mpeg1video", "mpeg2video"})
"""Codecs that players do not expect in an mp4 file, but in an mkv file."""


class CannotCopyError(Exception):
    """A stream that cannot be copied; the message gives the reason as a clause that follows "because"."""


@dataclass(frozen=True)
class OriginalVideo:
    """Consecutive packets of a video file to copy.

    Attributes:
        file: Path or buffer of the file.
        first: Index of the first packet in the video stream, in file order.
        stop: Index after the last packet.
        start: Presentation time of the earliest picture, in the stream's time base.
        decode_times: Decoding time of each packet, in the stream's time base.
        suffix: Suffix of a file that can hold the stream: ``.mp4`` or ``.mkv``.
    """

    file: str | BytesIO
    first: int
    stop: int
    start: int
    decode_times: tuple[int, ...]
    suffix: str

    def __len__(self) -> int:
        return self.stop - self.first

    def add_to(self, container: OutputContainer, step: Callable[[], None]) -> Iterator[av.Packet]:
        """Add a stream with the original's codec, time base, rotation and colours to a file.

        Args:
            container: The file to write.
            step: Called once per packet.

        Returns:
            The packets, shifted in time so that the first picture is shown at 0.
        """
        source = _open(self.file)
        source_stream: Any = source.streams.video[0]
        stream = container.add_stream_from_template(source_stream, opaque=True)
        stream.time_base = source_stream.time_base
        if source_stream.codec_context.codec.canonical_name == "hevc":
            stream.codec_context.codec_tag = "hvc1"  # the only tag for HEVC that QuickTime plays
        return self._packets(source, stream, step)

    def _packets(self, source: InputContainer, stream: Any, step: Callable[[], None]) -> Iterator[av.Packet]:
        with source:
            for number, packet in enumerate(_packets_of(source)):
                if number >= self.stop:
                    return
                if number >= self.first:
                    step()
                    packet.pts = (packet.pts or 0) - self.start
                    packet.dts = self.decode_times[number - self.first] - self.start
                    packet.stream = stream
                    yield packet


def find_original(video: Any, num_frames: int | None = None) -> OriginalVideo:
    """Find the packets that hold exactly the pictures of a video.

    Args:
        video: ComfyUI's VIDEO, possibly trimmed.
        num_frames: Number of pictures it decodes to; None if that is not known.

    Raises:
        CannotCopyError: If the video is not from a file, or no consecutive packets hold exactly these pictures.
    """
    if not isinstance(video, InputImpl.VideoFromFile):
        raise CannotCopyError("the video was made in the graph, so there is no file to copy it from")
    file = video.get_stream_source()
    with _open(file) as source:
        source_stream: Any = source.streams.video[0]
        suffix = _suffix_for(source_stream.codec_context.codec.canonical_name)
        base = source_stream.time_base
        packets = [_Stamp(each.pts, each.dts, each.is_keyframe, each.is_discard) for each in _packets_of(source)]
    times = [packet.pts for packet in packets if packet.pts is not None and not packet.is_discard]
    if len(times) != len(packets):
        raise CannotCopyError("the file has no timestamps for some of its frames")
    chosen = _inside(times, base, *video.get_active_trim_window())
    if not chosen or len(chosen) != (num_frames or len(chosen)):
        raise CannotCopyError(f"the file holds {len(chosen)} packets for {num_frames or 1} frames")
    first, stop = chosen[0], chosen[-1] + 1
    if stop - first != len(chosen) or not packets[first].is_keyframe:
        raise CannotCopyError("the video was cut between keyframes")
    presentation_times = times[first:stop]
    decode_times = [packet.dts for packet in packets[first:stop] if packet.dts is not None]
    if len(decode_times) != len(presentation_times):  # as in mkv files with B-frames
        decode_times = _decode_times(presentation_times)
    return OriginalVideo(file, first, stop, min(presentation_times), tuple(decode_times), suffix)


def content_of(video: Any) -> tuple[Any, ...]:
    """Values that are equal for equal videos: the hash of a file and its trimmed part, or else pictures and sound."""
    if not isinstance(video, InputImpl.VideoFromFile):
        components = video.get_components()
        return components.images, components.audio, str(components.frame_rate)
    file = video.get_stream_source()
    with nullcontext(file) if isinstance(file, BytesIO) else Path(file).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest(), *video.get_active_trim_window()


class _Stamp(NamedTuple):
    """A packet without its data: times of presentation and decoding, in the stream's time base."""

    pts: int | None
    dts: int | None
    is_keyframe: bool
    is_discard: bool


def _inside(times: list[int], base: Fraction, start: float, seconds: float) -> list[int]:
    """Indices of the times within a trimmed part, by the same bounds as in ComfyUI's decoding; 0 s is to the end."""
    first, end = int(start / base), int((start + seconds) / base) if seconds else None
    return [number for number, time in enumerate(times) if (not start or time >= first) and (end is None or time < end)]


def _decode_times(presentation_times: list[int]) -> list[int]:
    """Rising decoding times, none of them later than the presentation time of the same packet."""
    rising = sorted(presentation_times)
    delay = max(decoded - shown for decoded, shown in zip(rising, presentation_times, strict=True))
    return [time - delay for time in rising]


def _suffix_for(codec: str) -> str:
    if codec in MP4_CODECS:
        return ".mp4"
    if codec in MKV_CODECS:
        return ".mkv"
    raise CannotCopyError(f"players do not expect a stream of {codec} in a video file with audio")


def _open(file: str | BytesIO) -> InputContainer:
    if isinstance(file, BytesIO):
        file.seek(0)
    return av.open(file, "r")


def _packets_of(source: InputContainer) -> Iterator[av.Packet]:
    """Packets of the first video stream, without the empty one that ends it."""
    return (packet for packet in source.demux(video=0) if packet.size)
