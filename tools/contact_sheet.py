"""Contact sheet of a clip: frames in a row, and below them waveform and spectrogram.

Uses av, numpy and Pillow, which ComfyUI brings.
Dimension key: F frames, H and W pixels, N samples, T spectrum columns, K frequency bins.
"""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw

COLUMNS = 12
CELL_WIDTH = 128  # pixels
STRIP_HEIGHT = 96  # pixels, each of waveform and spectrogram
WINDOW, HOP = 1024, 256  # samples
RANGE_DB = 70.0


@dataclass(frozen=True)
class Clip:
    """A decoded video file.

    Attributes:
        frames: Pictures, (F, H, W, 3), uint8.
        fps: Frames per second.
        sound: First channel, (N,), float32 in [-1, 1]; empty without an audio track.
        sample_rate: Hz; 0 without an audio track.
        codecs: Names of the video and the audio codec.
    """

    frames: np.ndarray
    fps: float
    sound: np.ndarray
    sample_rate: int
    codecs: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Length of the video track, seconds."""
        return len(self.frames) / self.fps


def read_clip(path: Path) -> Clip:
    """Decode a whole video file."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        codecs = [video.codec_context.name]
        fps = float(video.average_rate)
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video)])
    sound, sample_rate = np.zeros(0, np.float32), 0
    with av.open(str(path)) as container:
        if container.streams.audio:
            audio = container.streams.audio[0]
            codecs.append(audio.codec_context.name)
            sample_rate = audio.codec_context.sample_rate
            to_float = av.AudioResampler(format="fltp", layout="mono", rate=sample_rate)
            parts = [part.to_ndarray()[0] for frame in container.decode(audio) for part in to_float.resample(frame)]
            sound = np.concatenate(parts) if parts else sound
    return Clip(frames, fps, sound, sample_rate, tuple(codecs))


def write_contact_sheet(clip: Clip, path: Path) -> None:
    """Draw a clip's contact sheet as a PNG: frames with their times, waveform, spectrogram."""
    picks = np.unique(np.linspace(0, len(clip.frames) - 1, COLUMNS).round().astype(int))
    height = round(CELL_WIDTH * clip.frames.shape[1] / clip.frames.shape[2])
    width = CELL_WIDTH * len(picks)
    sheet = Image.new("RGB", (width, height + 2 * STRIP_HEIGHT), "white")
    draw = ImageDraw.Draw(sheet)
    for column, index in enumerate(picks):
        cell = Image.fromarray(clip.frames[index]).resize((CELL_WIDTH, height), Image.Resampling.BICUBIC)
        sheet.paste(cell, (column * CELL_WIDTH, 0))
        corner = (column * CELL_WIDTH + 4, height - 14)
        draw.text(corner, f"{index / clip.fps:.2f} s", fill="white", stroke_width=1, stroke_fill="black")
    sheet.paste(waveform(clip.sound, width, STRIP_HEIGHT), (0, height))
    sheet.paste(spectrogram(clip.sound, width, STRIP_HEIGHT), (0, height + STRIP_HEIGHT))
    sheet.save(path)


def waveform(sound: np.ndarray, width: int, height: int) -> Image.Image:
    """Draw a waveform: the peak of every column, above and below a middle line."""
    image = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(image)
    middle = height // 2
    for column, samples in enumerate(np.array_split(sound, width)):
        half = round(min(float(np.abs(samples).max(initial=0.0)), 1.0) * (middle - 2))
        draw.line((column, middle - half, column, middle + half), fill=70)
    return image


def spectrogram(sound: np.ndarray, width: int, height: int) -> Image.Image:
    """Draw a spectrogram in decibels below the maximum, with low frequencies at the bottom."""
    padded = np.pad(sound, (0, max(WINDOW - len(sound), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]  # (T, WINDOW)
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), axis=1)) ** 2  # (T, K)
    decibels = 10 * np.log10(power / max(power.max(), 1e-12) + 1e-12)
    shades = (255 * np.clip(-decibels / RANGE_DB, 0, 1)).astype(np.uint8)  # dark is loud
    return Image.fromarray(shades.T[::-1].copy()).resize((width, height), Image.Resampling.BILINEAR)
