"""Pictures and sound as packets of a video file.

Dimension key: F video frames, H and W pixel rows and columns, C channels, N samples.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import torch
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from torch import Tensor

from ....uniavgen_core.media.audio.sound import Sound

CRF = 12
"""Constant rate factor: 46 to 53 dB before and 42 to 47 dB after H.264, on drawings and on photographs."""
BT709 = 1
"""Of ITU-T H.273, the same number for primaries, transfer and matrix."""
LIMITED = 1
_EXACT = (
    Interpolation.LANCZOS | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)
"""Conversion to YUV with the smallest round-trip error, 1.4 to 3.5 dB better than the default."""
AAC_BIT_RATE = 320_000
AAC_RATES = frozenset({96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350})
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


@dataclass(frozen=True)
class EncodedPictures:
    """Pictures to be encoded with H.264.

    Attributes:
        frames: RGB in [0, 1], (F, H, W, 3), even sides unless ``lossless``.
        fps: Frames a second.
        lossless: Keep 8 bits of every colour exactly, which few players show; otherwise high quality in YUV.
    """

    frames: Tensor
    fps: Fraction
    lossless: bool = False

    suffix = ".mp4"

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.frames)

    def add_to(self, container: OutputContainer, step: Callable[[], None]) -> Iterator[av.Packet]:
        """Add a stream to a file; returns its packets and calls ``step`` once a frame."""
        stream = container.add_stream("libx264rgb" if self.lossless else "libx264", rate=self.fps)
        stream.height, stream.width = self.frames.shape[1:3]
        stream.time_base = 1 / self.fps
        if self.lossless:
            stream.pix_fmt, stream.options = "rgb24", {"qp": "0"}
        else:
            stream.pix_fmt, stream.options = "yuv420p", {"crf": str(CRF)}
            context = stream.codec_context
            context.color_primaries = context.color_trc = context.colorspace = BT709
            context.color_range = LIMITED
        return self._packets(stream, step)

    def _packets(self, stream: av.VideoStream, step: Callable[[], None]) -> Iterator[av.Packet]:
        for number, picture in enumerate(self.frames):
            step()
            frame = _rgb(picture) if self.lossless else _yuv(picture)
            frame.pts, frame.time_base = number, 1 / self.fps
            yield from stream.encode(frame)
        yield from stream.encode(None)


def crop_to_even(frames: Tensor) -> Tensor:
    """Frames (F, H, W, 3) without an odd last row or column, which YUV 4:2:0 cannot hold."""
    height, width = (side - side % 2 for side in frames.shape[1:3])
    return frames[:, :height, :width]


@dataclass(frozen=True)
class EncodedSound:
    """Sound to be encoded.

    Attributes:
        sound: 1 to 8 channels.
        codec: ``flac``, which is lossless, or ``aac``.
    """

    sound: Sound
    codec: str

    def add_to(self, container: OutputContainer) -> Iterator[av.Packet]:
        """Add a stream to a file; returns its packets."""
        rate, layout = self.sound.sample_rate, LAYOUTS[len(self.sound.waveform)]
        stream = container.add_stream(self.codec, rate=rate, layout=layout)
        if self.codec == "flac":
            stream.codec_context.format = "s16" if bits_of(self.sound.waveform) == 16 else "s32"
        else:
            stream.bit_rate = AAC_BIT_RATE
        return self._packets(stream)

    def _packets(self, stream: av.AudioStream) -> Iterator[av.Packet]:
        start, rate = 0, self.sound.sample_rate
        for part in self.sound.waveform.split(rate, dim=1):
            frame = _samples(part, stream.codec_context.format.name, stream.layout.name)
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), start
            start += part.shape[1]
            yield from stream.encode(frame)
        yield from stream.encode(None)


def bits_of(waveform: Tensor) -> int | None:
    """Bits a sample, 16 or 24, that hold sound (C, N) exactly; None if 24 round it, by at most 6e-8."""
    for bits in (16, 24):
        scaled = waveform.double() * 2 ** (bits - 1)
        if torch.equal(scaled, scaled.round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)):
            return bits
    return None


def _samples(waveform: Tensor, kind: str, layout: str) -> av.AudioFrame:
    """Sound (C, N) in a codec's kind of samples."""
    if kind == "fltp":
        return av.AudioFrame.from_ndarray(np.ascontiguousarray(waveform.float().numpy()), format=kind, layout=layout)
    bits, dtype = (16, np.int16) if kind == "s16" else (24, np.int32)
    full = 2 ** (bits - 1)
    whole = (waveform.double() * full).round().clamp(-full, full - 1).numpy().astype(np.int32)
    packed = whole.T.reshape(1, -1) << (0 if bits == 16 else 8)
    return av.AudioFrame.from_ndarray(np.ascontiguousarray(packed.astype(dtype)), format=kind, layout=layout)


def _rgb(picture: Tensor) -> av.VideoFrame:
    """A picture (H, W, 3) in 8 bits a colour."""
    whole = (picture.float().clamp(0, 1) * 255).round().to(torch.uint8)
    return av.VideoFrame.from_ndarray(whole.cpu().contiguous().numpy(), format="rgb24")


def _yuv(picture: Tensor) -> av.VideoFrame:
    """A picture (H, W, 3) in YUV 4:2:0 of BT.709, straight from its floats."""
    values = picture.float().clamp(0, 1).cpu().contiguous().numpy()
    frame = av.VideoFrame.from_ndarray(values, format="gbrpf32le")
    return frame.reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, interpolation=int(_EXACT)
    )
