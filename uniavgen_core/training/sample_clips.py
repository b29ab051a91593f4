"""Samples of a model in training, as video files and as entries of TensorBoard.

Dimension key: F video frames, N sound samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from PIL import Image
from torch import nn

from ..shapes import FPS


@dataclass(frozen=True)
class Sample:
    """One generated clip.

    Attributes:
        frames: Pictures at 16 fps, uint8, (F, H, W, 3); sides are even.
        waveform: Sound in [-1, 1], (N,).
        sample_rate: Of the sound, Hz.
        name: Stem of its file.
    """

    frames: np.ndarray
    waveform: np.ndarray
    sample_rate: int
    name: str


Sampler = Callable[[nn.Module], Sequence[Sample]]
"""A model with averaged weights to clips it generates."""


def write_mp4(path: Path, sample: Sample) -> None:
    """Write a clip as H.264 and AAC."""
    height, width = sample.frames.shape[1:3]
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=FPS, options={"crf": "18"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        sound: Any = file.add_stream("aac", rate=sample.sample_rate, layout="mono")
        for picture in sample.frames:
            file.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        file.mux(video.encode(None))
        mux_sound(file, sound, sample.waveform, sample.sample_rate)


def mux_sound(file: OutputContainer, stream: Any, waveform: np.ndarray, sample_rate: int) -> None:
    """Encode a mono waveform (N,) into the audio stream of an open file."""
    samples = np.ascontiguousarray(waveform, dtype=np.float32).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = sample_rate, Fraction(1, sample_rate), 0
    file.mux(stream.encode(frame))
    file.mux(stream.encode(None))


def gif_of(frames: np.ndarray) -> bytes:
    """Frames (F, H, W, 3) uint8 as an animated GIF, which browsers play inside TensorBoard."""
    first, *rest = (Image.fromarray(picture) for picture in frames)
    file = BytesIO()
    first.save(file, "GIF", save_all=True, append_images=rest, duration=1000 // FPS, loop=0)
    return file.getvalue()


def show_in_tensorboard(writer: Any, sample: Sample, step: int) -> None:
    """Add a clip to TensorBoard: the picture as an animated image, the sound as audio.

    Args:
        writer: A ``torch.utils.tensorboard.SummaryWriter``.
        sample: The clip.
        step: The step it was generated after.
    """
    from tensorboard.compat.proto import summary_pb2

    Summary: Any = getattr(summary_pb2, "Summary")  # noqa: B009, N806 - a class that protobuf makes at run time

    height, width = sample.frames.shape[1:3]
    # SummaryWriter.add_video would need moviepy for the same bytes.
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=gif_of(sample.frames))
    entry = Summary(value=[Summary.Value(tag=f"{sample.name}/video", image=image)])
    writer.file_writer.add_summary(entry, step)
    writer.add_audio(f"{sample.name}/audio", sample.waveform[None], step, sample_rate=sample.sample_rate)
    writer.flush()
