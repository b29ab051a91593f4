"""Decoding of the audio of a file.

Dimension key: N samples.
"""

from math import inf
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor


def read_sound(file: Path | BinaryIO, begin: float = 0.0, longest: float = inf) -> tuple[Tensor, int]:
    """Decode the audio of a file, mixed down to mono.

    Args:
        file: An audio or a video file: its path, or its content.
        begin: Time at which to begin, seconds, such as that of the first video frame: encoders prepend a delay.
        longest: Seconds after which decoding ends.

    Returns:
        Samples, (N,) float32, and their rate in Hz; empty and 0 without an audio track.

    Raises:
        ValueError: If the file cannot be read.
    """
    import av
    from av.error import FFmpegError

    try:
        with av.open(file, "r") as container:
            if not container.streams.audio:
                return torch.zeros(0), 0
            stream = container.streams.audio[0]
            rate = stream.codec_context.sample_rate
            to_float, parts, length = av.AudioResampler(format="fltp", layout="mono", rate=rate), [], 0
            late = 0
            for frame in container.decode(stream):
                late = late if parts else round(((frame.time or 0.0) - begin) * rate)
                parts += [part.to_ndarray()[0] for part in to_float.resample(frame)]
                length += frame.samples
                if length >= longest * rate:
                    break
    except (FFmpegError, OSError) as error:
        raise ValueError(f"Its audio cannot be read: {error}") from error
    samples = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    samples = np.pad(samples, (late, 0)) if late > 0 and len(samples) else samples[max(0, -late) :]
    return torch.from_numpy(samples.astype(np.float32)), rate if len(samples) else 0
