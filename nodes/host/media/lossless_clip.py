"""Pictures and sound in one file, as they are: FFV1 and 32-bit float samples in Matroska, which video players open.

Dimension key: F video frames, H and W pixel rows and columns, N samples.
"""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.container import OutputContainer
from torch import Tensor

from ....uniavgen_core.shapes import FPS, SAMPLE_RATE

FORMAT = "matroska"
SETTINGS = {"level": "3", "coder": "1", "context": "1", "slices": "4"}
"""FFV1's best compression that several threads still share."""
PIXELS = "bgr0"
"""FFV1's form of RGB with 8 bits a colour."""


def write_lossless(path: Path, frames: Tensor, waveform: Tensor) -> None:
    """Write a clip.

    Args:
        path: The file, of any ending.
        frames: RGB at 16 fps, (F, H, W, 3) uint8; H and W are 0 for none.
        waveform: Sound at 24 kHz, of any level, (N,) float32; empty for none.
    """
    with av.open(str(path), "w", format=FORMAT) as file:
        pictures = _picture_stream(file, frames) if frames.numel() else None
        sound = file.add_stream("pcm_f32le", rate=SAMPLE_RATE, layout="mono") if len(waveform) else None
        if pictures is not None:
            for number, picture in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(picture.contiguous().numpy(), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, FPS)
                file.mux(pictures.encode(frame.reformat(format=PIXELS)))
            file.mux(pictures.encode(None))
        if sound is not None:
            for start in range(0, len(waveform), SAMPLE_RATE):
                part = waveform[start : start + SAMPLE_RATE].float().contiguous().numpy()[None]
                frame = av.AudioFrame.from_ndarray(part, format="flt", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
                file.mux(sound.encode(frame))
            file.mux(sound.encode(None))


def read_lossless(path: Path, frames: int | None = None) -> tuple[Tensor, Tensor]:
    """Read a clip that ``write_lossless`` wrote.

    Args:
        path: The file.
        frames: Number of frames, for a clip without pictures.

    Returns:
        Frames (F, H, W, 3) uint8, and sound (N,) float32.

    Raises:
        av.FFmpegError: If the file cannot be read.
    """
    with av.open(str(path)) as file:
        seen = torch.zeros(frames or 0, 0, 0, 3, dtype=torch.uint8)
        if file.streams.video:
            file.streams.video[0].thread_type = "AUTO"
            seen = torch.from_numpy(np.stack([_rgb(frame) for frame in file.decode(video=0)]))
    return seen, read_waveform(path)


def read_waveform(path: Path) -> Tensor:
    """Read the sound alone of such a clip, (N,) float32."""
    with av.open(str(path)) as file:
        heard = [frame.to_ndarray()[0] for frame in file.decode(audio=0)] if file.streams.audio else []
    return torch.from_numpy(np.concatenate(heard)) if heard else torch.zeros(0)


def _picture_stream(file: OutputContainer, frames: Tensor) -> av.VideoStream:
    stream = file.add_stream("ffv1", rate=FPS, options=SETTINGS)
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt, stream.time_base = PIXELS, Fraction(1, FPS)
    stream.thread_type = "AUTO"
    return stream


def _rgb(frame: av.VideoFrame) -> np.ndarray:
    return frame.reformat(format="rgb24").to_ndarray()
