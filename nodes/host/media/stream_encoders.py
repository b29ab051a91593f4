"""Encoders of pictures and sound for the streams of a video file.

Dimension key: F video frames, H and W pixel rows and columns, C channels, N samples.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import av
import numpy as np
import torch
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from torch import Tensor

from ....uniavgen_core.media.audio.sound import Sound

CRF = 12
"""Constant rate factor. Measured PSNR of drawings and photographs: 46 to 53 dB before and 42 to 47 dB after H.264."""
PLANAR, PLANES = "gbrpf32le", (1, 2, 0)
"""Pixel format of floating-point RGB, and the colour of each of its planes: green, blue, red."""
BT709 = 1
"""Code of ITU-T H.273, the same for primaries, transfer and matrix."""
LIMITED = 1
YUV = {8: "yuv420p", 10: "yuv420p10le"}
"""Pixel format for each number of bits a colour."""
DETERMINISTIC = {"x264-params": "asm=avx2"} if torch.backends.cpu.get_cpu_capability() == "AVX512" else {}
"""Options of x264. Where the macroblocks in a row are no multiple of 8, its AVX-512 code reads memory that nobody has
written, and the same pictures make another file in every run; its AVX2 code does not, and agrees with older CPUs."""
_EXACT = (
    Interpolation.LANCZOS | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)
"""Scaler flags with the smallest round-trip error of the conversion to YUV, 1.4 to 3.5 dB better than the default."""
AAC_BIT_RATE = 320_000
AAC_RATES = frozenset({96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350})
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


class Pictures(Protocol):
    """Pictures of a film, in memory as a tensor is, or made one by one: RGB in [0, 1], ``shape`` (F, H, W, 3)."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Tensor]: ...


@dataclass(frozen=True)
class EncodedPictures:
    """Pictures to encode with H.264.

    Attributes:
        frames: The pictures. Unless ``lossless``, an odd last row or column is left out: YUV 4:2:0 has even sides.
        fps: Frames per second.
        lossless: Encode 8-bit RGB exactly, which few players support, instead of high-quality YUV.
        crf: Constant rate factor.
        bit_depth: Bits a colour, 8 or 10, of YUV.
    """

    frames: Pictures
    fps: Fraction
    lossless: bool = False
    crf: float = CRF
    bit_depth: int = 8

    suffix = ".mp4"

    def __len__(self) -> int:
        return len(self.frames)

    def add_to(self, container: OutputContainer, step: Callable[[], None]) -> Iterator[av.Packet]:
        """Add a video stream to a file and return its packets; calls ``step`` once per frame."""
        stream = container.add_stream("libx264rgb" if self.lossless else "libx264", rate=self.fps)
        stream.height, stream.width = (side if self.lossless else side - side % 2 for side in self.frames.shape[1:3])
        stream.time_base = 1 / self.fps
        if self.lossless:
            stream.pix_fmt, stream.options = "rgb24", {"qp": "0"}
        else:
            stream.pix_fmt, stream.options = YUV[self.bit_depth], {"crf": str(self.crf), **DETERMINISTIC}
            context = stream.codec_context
            context.color_primaries = context.color_trc = context.colorspace = BT709
            context.color_range = LIMITED
        return self._packets(stream, step)

    def _packets(self, stream: av.VideoStream, step: Callable[[], None]) -> Iterator[av.Packet]:
        for number, picture in enumerate(self.frames):
            step()
            picture = picture[: stream.height, : stream.width]
            frame = _rgb_frame(picture) if self.lossless else _yuv_frame(picture, YUV[self.bit_depth])
            frame.pts, frame.time_base = number, 1 / self.fps
            yield from stream.encode(frame)
        yield from stream.encode(None)


@dataclass(frozen=True)
class EncodedSound:
    """Sound of 1 to 8 channels to encode as ``flac``, which is lossless, or ``aac``."""

    sound: Sound
    codec: str

    def add_to(self, container: OutputContainer) -> Iterator[av.Packet]:
        """Add an audio stream to a file and return its packets."""
        rate, layout = self.sound.sample_rate, LAYOUTS[len(self.sound.waveform)]
        stream: Any = container.add_stream(self.codec, rate=rate, layout=layout)
        if self.codec == "flac":
            stream.codec_context.format = "s16" if exact_bits(self.sound.waveform) == 16 else "s32"
        else:
            stream.bit_rate = AAC_BIT_RATE
        return self._packets(stream)

    def _packets(self, stream: av.AudioStream) -> Iterator[av.Packet]:
        start, rate = 0, self.sound.sample_rate
        for part in self.sound.waveform.split(rate, dim=1):
            frame = _audio_frame(part, stream.codec_context.format.name, stream.layout.name)
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), start
            start += part.shape[1]
            yield from stream.encode(frame)
        yield from stream.encode(None)


def exact_bits(waveform: Tensor) -> int | None:
    """Bits per sample, 16 or 24, that hold sound (C, N) exactly; None if even 24 round it, by at most 6e-8."""
    for bits in (16, 24):
        scaled = waveform.double() * 2 ** (bits - 1)
        if torch.equal(scaled, scaled.round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)):
            return bits
    return None


def _audio_frame(waveform: Tensor, sample_format: str, layout: str) -> av.AudioFrame:
    """Convert sound (C, N) to a codec's sample format."""
    if sample_format == "fltp":
        samples = np.ascontiguousarray(waveform.float().numpy())
        return av.AudioFrame.from_ndarray(samples, format=sample_format, layout=layout)
    bits, dtype = (16, np.int16) if sample_format == "s16" else (24, np.int32)
    full_scale = 2 ** (bits - 1)
    integers = (waveform.double() * full_scale).round().clamp(-full_scale, full_scale - 1).numpy().astype(np.int32)
    packed: Any = integers.T.reshape(1, -1) << (0 if bits == 16 else 8)
    return av.AudioFrame.from_ndarray(np.ascontiguousarray(packed.astype(dtype)), format=sample_format, layout=layout)


def _rgb_frame(picture: Tensor) -> av.VideoFrame:
    """Convert a picture (H, W, 3) to 8-bit RGB."""
    integers = (picture.float().clamp(0, 1) * 255).round().to(torch.uint8)
    return av.VideoFrame.from_ndarray(integers.cpu().contiguous().numpy(), format="rgb24")


def _yuv_frame(picture: Tensor, pixel_format: str) -> av.VideoFrame:
    """Convert a picture (H, W, 3) to BT.709 YUV 4:2:0, without rounding to 8-bit RGB first."""
    frame = av.VideoFrame(picture.shape[1], picture.shape[0], PLANAR)
    for plane, colour in zip(frame.planes, PLANES, strict=True):
        rows = torch.frombuffer(plane, dtype=torch.float32).unflatten(0, (plane.height, -1))
        torch.clamp(picture[..., colour].cpu().float(), 0, 1, out=rows[:, : plane.width])
    return frame.reformat(
        format=pixel_format,
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=int(_EXACT),
    )
