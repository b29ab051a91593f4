"""The user's own video stream, copied packet by packet: nothing is decoded or encoded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from comfy_api.latest import InputImpl

MP4_CODECS = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4"})
MKV_CODECS = frozenset({"prores", "dnxhd", "ffv1", "mjpeg", "vp8", "mpeg1video", "mpeg2video"})
"""Codecs that players do not expect in an mp4 file, but in an mkv file."""


class CannotCopyError(Exception):
    """The stream cannot be copied; the text says why, as the end of a sentence after "because"."""


@dataclass(frozen=True)
class OriginalVideo:
    """A run of packets of a video file, to be written as they are.

    Attributes:
        file: Path or buffer of the file.
        first: Number of the first packet of its video stream, in the order of the file.
        stop: Number after the last one.
        start: Time of the earliest picture among them, in the stream's units.
        decoded_at: When each of the packets is to be decoded, in the stream's units.
        suffix: Kind of file that holds such a stream: ``.mp4`` or ``.mkv``.
    """

    file: str | BytesIO
    first: int
    stop: int
    start: int
    decoded_at: tuple[int, ...]
    suffix: str

    def __len__(self) -> int:
        """Number of packets."""
        return self.stop - self.first

    def add_to(self, container: OutputContainer, step: Callable[[], None]) -> Iterator[av.Packet]:
        """Add a stream of the same kind to a file, with the original's time base, rotation and colours.

        Args:
            container: The file to write.
            step: Called once a packet.

        Returns:
            The packets, moved in time so that the first picture is shown at 0.
        """
        source = _open(self.file)
        own = source.streams.video[0]
        stream = container.add_stream_from_template(own, opaque=True)
        stream.time_base = own.time_base
        if own.codec_context.codec.canonical_name == "hevc":
            stream.codec_context.codec_tag = "hvc1"  # QuickTime plays no other
        return self._packets(source, stream, step)

    def _packets(self, source: InputContainer, stream: Any, step: Callable[[], None]) -> Iterator[av.Packet]:
        with source:
            for number, packet in enumerate(_packets_of(source)):
                if number >= self.stop:
                    return
                if number >= self.first:
                    step()
                    packet.pts -= self.start
                    packet.dts = self.decoded_at[number - self.first] - self.start
                    packet.stream = stream
                    yield packet


def find_original(video: Any, num_frames: int) -> OriginalVideo:
    """Find the packets that hold a video's pictures, all of them and no others.

    Args:
        video: ComfyUI's VIDEO, maybe trimmed.
        num_frames: How many pictures it decodes to.

    Raises:
        CannotCopyError: If it did not come from a file, or no run of packets holds exactly these pictures.
    """
    if not isinstance(video, InputImpl.VideoFromFile):
        raise CannotCopyError("the video was made in the graph, so there is no file to copy them from")
    file = video.get_stream_source()
    with _open(file) as source:
        own = source.streams.video[0]
        suffix = _suffix_for(own.codec_context.codec.canonical_name)
        start, seconds = video.get_active_trim_window()
        # The same bounds as ComfyUI's decoding of a trimmed video.
        first_time = int(start / own.time_base)
        end_time = int((start + seconds) / own.time_base) if seconds else None
        packets = list(_packets_of(source))
    if any(packet.pts is None or packet.is_discard for packet in packets):
        raise CannotCopyError("the file does not say when each of its pictures is shown")
    chosen = [
        number
        for number, packet in enumerate(packets)
        if (not start or packet.pts >= first_time) and (end_time is None or packet.pts < end_time)
    ]
    if len(chosen) != num_frames:
        raise CannotCopyError(f"the file holds {len(chosen)} packets for {num_frames} pictures")
    first, stop = chosen[0], chosen[-1] + 1
    if stop - first != len(chosen) or not packets[first].is_keyframe:
        raise CannotCopyError("the video was cut between the pictures that others depend on (its keyframes)")
    shown_at = [packet.pts for packet in packets[first:stop]]
    decoded_at = [packet.dts for packet in packets[first:stop]]
    if None in decoded_at:  # as in mkv files with B-frames
        decoded_at = _decoding_times(shown_at)
    return OriginalVideo(file, first, stop, min(shown_at), tuple(decoded_at), suffix)


def _decoding_times(shown_at: list[int]) -> list[int]:
    """Rising times for packets to be decoded at, none later than its picture is shown."""
    rising = sorted(shown_at)
    delay = max(time - shown for time, shown in zip(rising, shown_at, strict=True))
    return [time - delay for time in rising]


def _suffix_for(codec: str) -> str:
    """Kind of file for a codec."""
    if codec in MP4_CODECS:
        return ".mp4"
    if codec in MKV_CODECS:
        return ".mkv"
    raise CannotCopyError(f"players do not expect a stream of {codec} in a video file with sound")


def _open(file: str | BytesIO) -> InputContainer:
    if isinstance(file, BytesIO):
        file.seek(0)
    return av.open(file)


def _packets_of(source: InputContainer) -> Iterator[av.Packet]:
    """The packets of the first video stream; the last, which only ends the stream, holds nothing."""
    return (packet for packet in source.demux(video=0) if packet.size)
