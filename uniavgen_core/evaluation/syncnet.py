"""SyncNet, the paper's lip-sync judge, with weights on disk (``syncnet_v2.model``).

Two small networks embed five frames of a face and 0.2 s of audio in one space. The confidence is the median distance of
video and audio over all shifts minus the smallest. Source: Chung and Zisserman, "Out of time: automated lip sync in the
wild" (ACCV workshops 2016), with the crop, features and shifts of the published evaluation.
Dimension key: F video frames at 25 a second, W windows, C cepstra, M their frames at 100 a second, D width.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..media.audio.sound import resample
from ..media.faces.face_tracks import Face, Track, fill_gaps, smooth, track_faces
from .paper_models import need

FPS, SAMPLE_RATE = 25, 16_000
WINDOW, CEPSTRA_PER_FRAME = 5, 4
SHIFTS = 15
"""Largest shift in either direction, video frames."""
SIDE = 224
_MARGIN = 0.4
"""Margin of the crop around the face, in halves of its size."""
_JITTER, _GAP, _BATCH = 13, 12, 16


def _stack(convolution: type[nn.Module], norm: type[nn.Module], layers: Sequence[dict]) -> nn.Sequential:
    """Stack of convolutions with normalisation, ReLU and, where given, pooling."""
    modules: list[nn.Module] = []
    for layer in layers:
        pool, shape = layer.pop("pool", None), layer.pop("shape")
        modules += [convolution(*shape, **layer), norm(shape[1]), nn.ReLU(inplace=True)]
        modules += [] if pool is None else [pool]
    return nn.Sequential(*modules)


def _projection() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))


class SyncNet(nn.Module):
    """The two networks, with the weight names of the published file."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = _stack(
            nn.Conv2d,
            nn.BatchNorm2d,
            [
                {"shape": (1, 64, 3), "padding": 1, "pool": nn.MaxPool2d(1)},
                {"shape": (64, 192, 3), "padding": 1, "pool": nn.MaxPool2d(3, (1, 2))},
                {"shape": (192, 384, 3), "padding": 1},
                {"shape": (384, 256, 3), "padding": 1},
                {"shape": (256, 256, 3), "padding": 1, "pool": nn.MaxPool2d(3, 2)},
                {"shape": (256, 512, (5, 4))},
            ],
        )
        self.netfcaud = _projection()
        near, apart = (0, 1, 1), (1, 2, 2)
        self.netcnnlip = _stack(
            nn.Conv3d,
            nn.BatchNorm3d,
            [
                {"shape": (3, 96, (5, 7, 7)), "stride": apart, "pool": nn.MaxPool3d((1, 3, 3), apart)},
                {"shape": (96, 256, (1, 5, 5)), "stride": apart, "padding": near,
                 "pool": nn.MaxPool3d((1, 3, 3), apart, near)},
                {"shape": (256, 256, (1, 3, 3)), "padding": near},
                {"shape": (256, 256, (1, 3, 3)), "padding": near},
                {"shape": (256, 256, (1, 3, 3)), "padding": near, "pool": nn.MaxPool3d((1, 3, 3), apart)},
                {"shape": (256, 512, (1, 6, 6))},
            ],
        )  # fmt: skip
        self.netfclip = _projection()

    def sounds(self, cepstra: Tensor) -> Tensor:
        """Embed windows of cepstra (W, 1, 13, 20), (W, 1024)."""
        return self.netfcaud(self.netcnnaud(cepstra).flatten(1))

    def lips(self, pictures: Tensor) -> Tensor:
        """Embed windows of BGR pictures (W, 3, 5, 224, 224) in 0 to 255, (W, 1024)."""
        return self.netfclip(self.netcnnlip(pictures).flatten(1))


class SyncJudge:
    """Lip-sync judge with SyncNet's published weights; faces are detected by YuNet instead of S3FD."""

    def __init__(self, file: Path, finder: Any = None) -> None:
        """Load the weights.

        Args:
            file: ``syncnet_v2.model``.
            finder: Face detector with a method ``find(picture)``; by default YuNet.

        Raises:
            ImportError: If ``python_speech_features``, whose cepstra SyncNet was trained on, is not installed.
            ValueError: If the file does not exist or does not fit.
        """
        from ..media.faces.face_detection import FaceDetector

        need(file, "SyncNet's weights")
        _mfcc()
        self.finder = finder or FaceDetector()
        self.model = SyncNet()
        try:
            self.model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        except (RuntimeError, AttributeError, TypeError) as error:
            raise ValueError(f"{file} does not fit SyncNet: {str(error)[:300]}") from error
        self.model.eval()

    @torch.no_grad()
    def rate(self, frames: np.ndarray, fps: float, waveform: Tensor, sample_rate: int) -> dict[str, float]:
        """Rate one clip.

        Args:
            frames: RGB, (F, H, W, 3) uint8.
            fps: Frames per second.
            waveform: Mono, (N,).
            sample_rate: Hz.

        Returns:
            ``LS``, the confidence, and ``LS_offset``, the best shift of the audio in frames at 25 fps.

        Raises:
            ValueError: If no face is visible in all frames, or the clip is shorter than five frames.
        """
        pictures = crop_face(at_25_fps(frames, fps), self.finder)
        cepstra = cepstra_of(waveform, sample_rate)
        count = min(len(pictures), cepstra.shape[-1] // CEPSTRA_PER_FRAME) - WINDOW + 1
        if count < 1:
            raise ValueError(f"SyncNet needs a clip of at least {WINDOW} frames at {FPS} a second.")
        video, audio = [], []
        for first in range(0, count, _BATCH):
            windows = range(first, min(first + _BATCH, count))
            video.append(self.model.lips(torch.stack([pictures[i : i + WINDOW].transpose(0, 1) for i in windows])))
            starts = [CEPSTRA_PER_FRAME * i for i in windows]
            length = CEPSTRA_PER_FRAME * WINDOW
            audio.append(self.model.sounds(torch.stack([cepstra[None, :, i : i + length] for i in starts])))
        confidence, offset = confidence_of(torch.cat(video), torch.cat(audio))
        return {"LS": confidence, "LS_offset": float(offset)}


def confidence_of(video: Tensor, audio: Tensor) -> tuple[float, int]:
    """Compare the embeddings of video and audio at every shift.

    Args:
        video: Embeddings of the video windows, (W, D).
        audio: Embeddings of the audio windows, (W, D); padded with zeros at both ends.

    Returns:
        Median distance minus the smallest, and the shift of the smallest: positive when the sound is early.
    """
    padded = F.pad(audio, (0, 0, SHIFTS, SHIFTS))
    distances = torch.stack([F.pairwise_distance(video, padded[s : s + len(video)]) for s in range(2 * SHIFTS + 1)])
    mean = distances.mean(1)
    return float(mean.median() - mean.min()), SHIFTS - int(mean.argmin())


def at_25_fps(frames: np.ndarray, fps: float) -> np.ndarray:
    """Convert frames to 25 fps by repeating or dropping some."""
    count = max(1, round(len(frames) * FPS / fps))
    return frames[np.minimum((np.arange(count) * fps / FPS).astype(int), len(frames) - 1)]


def crop_face(frames: np.ndarray, finder: Any) -> Tensor:
    """Crop the face that is visible longest from every frame, BGR in 0 to 255, (F, 3, 224, 224).

    Raises:
        ValueError: If no face is visible from the first frame to the last.
    """
    tracks = [fill_gaps(track, _GAP) for track in track_faces([finder.find(frame) for frame in frames])]
    track: Track = max(tracks, key=lambda one: sum(face is not None for face in one), default=[])
    if not track or any(face is None for face in track):
        raise ValueError("SyncNet needs one face that is seen from the first frame to the last.")
    faces = (face for face in smooth(track, _JITTER) if face is not None)
    crops = [_crop(frame, face) for frame, face in zip(frames, faces, strict=True)]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float()


def _crop(frame: np.ndarray, face: Face) -> np.ndarray:
    """Crop a square around the face that extends further down than up, BGR, (224, 224, 3)."""
    import cv2

    left, top, right, bottom = face.box
    half = max(right - left, bottom - top) / 2
    pad = int(half * (1 + 2 * _MARGIN))
    padded = np.pad(frame, ((pad, pad), (pad, pad), (0, 0)), constant_values=110)
    x, y = face.center + pad
    rows = slice(int(y - half), int(y + half * (1 + 2 * _MARGIN)))
    columns = slice(int(x - half * (1 + _MARGIN)), int(x + half * (1 + _MARGIN)))
    return cv2.resize(padded[rows, columns, ::-1], (SIDE, SIDE))


def cepstra_of(waveform: Tensor, sample_rate: int) -> Tensor:
    """Mel cepstra of a mono waveform (N,) as in the model's training: from 16-bit samples at 16 kHz, (13, M)."""
    samples = resample(waveform[None], sample_rate, SAMPLE_RATE)[0].clamp(-1, 1) * (2**15 - 1)
    return torch.from_numpy(_mfcc()(samples.round().numpy().astype(np.int16), SAMPLE_RATE)).float().T


def _mfcc() -> Any:
    try:
        from python_speech_features import mfcc
    except ImportError as error:
        raise ImportError(
            "SyncNet needs the package python_speech_features: pip install python_speech_features.", name=error.name
        ) from error
    return mfcc
