"""The paper's judges, with weights on disk: Whisper, AudioBox-Aesthetics, and VBench's DINO, RAFT and MUSIQ.

Everything is loaded from given paths; nothing is downloaded.

Dimension key: F video frames, H picture height, W picture width, D size of a feature, N samples.
"""

import os
import re
from collections.abc import Callable
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..media.audio.sound import resample

WHISPER_RATE = 16_000
_MOST_TOKENS, _WHISPER_SECONDS = 200, 30
_DINO_SIDE = 224
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_RAFT_SIDE = 128
_HAN = r"\u3400-\u9fff\u3040-\u30ff"


@contextmanager
def offline():
    """Context in which the Hugging Face libraries cannot download."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def need(path: Path, label: str) -> Path:
    """Require that a file or folder exists.

    Raises:
        ValueError: If it does not.
    """
    if not path.exists():
        raise ValueError(f"{label} should be at {path}, but nothing is there. Leave the option out for the stand-in.")
    return path


def _missing(package: str, label: str, error: ImportError) -> ImportError:
    """Error that says how to install the missing package."""
    return ImportError(f"{label} needs the package {package}: pip install {package}.", name=error.name)


def spoken_words(text: str) -> str:
    """Normalise a text for word error rates: lower case, no punctuation, a word per Chinese or Japanese character."""
    text = re.sub(rf"([{_HAN}])", r" \1 ", text.casefold().replace("\u2019", "'"))
    return " ".join(re.sub(r"[^\w' ]+", " ", text).replace("_", " ").split())


class Whisper:
    """Speech recognition by a Whisper model in the format of ``transformers``."""

    def __init__(self, folder: Path) -> None:
        """Load a folder.

        Raises:
            ValueError: If it does not exist, or tensors are missing.
        """
        from transformers import WhisperForConditionalGeneration, WhisperProcessor

        need(folder, "The Whisper model")
        with offline(), torch.random.fork_rng(devices=[]):  # missing tensors would be drawn at random
            self.processor = WhisperProcessor.from_pretrained(str(folder), local_files_only=True)
            loaded: Any = WhisperForConditionalGeneration.from_pretrained(
                str(folder), local_files_only=True, output_loading_info=True
            )
        model, report = loaded
        if missing := sorted(report["missing_keys"]):
            raise ValueError(f"The weights in {folder} lack {len(missing)} tensors, such as {missing[0]}.")
        self.model = model.eval()

    @torch.no_grad()
    def hear(self, waveform: Tensor, sample_rate: int) -> str:
        """Transcribe the first 30 s of a mono waveform (N,)."""
        samples = resample(waveform[None], sample_rate, WHISPER_RATE)[0].numpy()
        given = self.processor(samples, sampling_rate=WHISPER_RATE, return_tensors="pt").input_features
        room = self.model.config.max_target_positions - 8
        given = given.to(self.model.device, self.model.dtype)
        tokens = self.model.generate(given, max_new_tokens=min(_MOST_TOKENS, room))
        return self.processor.batch_decode(tokens, skip_special_tokens=True)[0]

    def hear_all(self, waveform: Tensor, sample_rate: int) -> str:
        """Transcribe a mono waveform (N,) of any length, in pieces of 30 s."""
        pieces = waveform.split(_WHISPER_SECONDS * sample_rate)
        return " ".join(self.hear(piece, sample_rate).strip() for piece in pieces)


class AudioBox:
    """Audio quality by AudioBox-Aesthetics (arXiv:2502.05139)."""

    def __init__(self, file: Path) -> None:
        need(file, "The checkpoint of AudioBox-Aesthetics")
        try:
            infer: Any = import_module("audiobox_aesthetics.infer")
        except ImportError as error:
            raise _missing("audiobox_aesthetics", "AudioBox-Aesthetics", error) from error
        with offline():
            self.predictor = infer.initialize_predictor(ckpt=str(file))

    def rate(self, waveform: Tensor, sample_rate: int) -> dict[str, float]:
        """Production quality ``PQ`` and content usefulness ``CU`` of a mono waveform (N,), 1 to 10."""
        scores = self.predictor.forward([{"path": waveform[None], "sample_rate": sample_rate}])[0]
        return {name: float(scores[name]) for name in ("PQ", "CU")}


class Dino:
    """Image features by DINO ViT-B/16 (arXiv:2104.14294), as in VBench's subject consistency."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModel

        with offline():
            model = AutoModel.from_pretrained(str(need(folder, "The DINO model")), local_files_only=True)
        self.model = model.eval()

    @torch.no_grad()
    def features(self, frames: np.ndarray) -> np.ndarray:
        """Unit vectors (F, D) of pictures (F, H, W, 3) uint8."""
        mean, spread = (torch.tensor(x)[:, None, None] for x in _IMAGENET)
        vectors = []
        for frame in frames:
            picture = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
            picture = F.interpolate(picture, size=(_DINO_SIDE, _DINO_SIDE), mode="bilinear")
            vectors.append(self.model((picture - mean) / spread).last_hidden_state[0, 0])
        return F.normalize(torch.stack(vectors), dim=-1).numpy()


class Raft:
    """Optical flow by RAFT (arXiv:2003.12039), the large model of torchvision."""

    def __init__(self, file: Path) -> None:
        from torchvision.models.optical_flow import raft_large

        self.model = raft_large(weights=None, progress=False)
        try:
            self.model.load_state_dict(torch.load(need(file, "RAFT"), map_location="cpu", weights_only=True))
        except RuntimeError as error:
            raise ValueError(f"{file} does not fit torchvision's raft_large: {str(error)[:300]}") from error
        self.model.eval()

    @torch.no_grad()
    def __call__(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Flow in pixels, (H, W, 2), between pictures (H, W, 3) uint8."""
        both = torch.from_numpy(np.stack([before, after])).permute(0, 3, 1, 2).float() / 127.5 - 1
        height, width = both.shape[-2:]
        size = [max(_RAFT_SIDE, round(side / 8) * 8) for side in (height, width)]
        fitted = F.interpolate(both, size=size, mode="bilinear")
        flow = self.model(fitted[:1], fitted[1:])[-1]
        scale = torch.tensor([width / size[1], height / size[0]])[:, None, None]
        return (F.interpolate(flow, size=(height, width), mode="bilinear")[0] * scale).permute(1, 2, 0).numpy()


class Musiq:
    """Image quality by MUSIQ (arXiv:2108.05997) through pyiqa, as in VBench's imaging quality."""

    def __init__(self, file: Path) -> None:
        need(file, "MUSIQ")
        try:
            pyiqa: Any = import_module("pyiqa")
        except ImportError as error:
            raise _missing("pyiqa", "MUSIQ", error) from error
        with offline():
            self.metric = pyiqa.create_metric("musiq", device="cpu", pretrained_model_path=str(file))

    @torch.no_grad()
    def rate(self, frames: np.ndarray) -> float:
        """Mean quality of pictures (F, H, W, 3) uint8, in [0, 1]."""
        pictures = (torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255 for frame in frames)
        return float(np.mean([float(self.metric(picture)) / 100 for picture in pictures]))


VBENCH: dict[str, tuple[tuple[str, ...], Callable[[Path], Any]]] = {
    "dino": (("dino*",), Dino),
    "raft": (("raft*.pth", "raft*.pt"), Raft),
    "musiq": (("musiq*.pth", "musiq*.pt"), Musiq),
}
"""File patterns of each part in VBench's folder, and its class."""


def vbench_parts(folder: Path) -> dict[str, Any]:
    """Load the parts of VBench that a folder has: a folder ``dino*``, files ``raft*.pth`` and ``musiq*.pth``.

    Raises:
        ValueError: If the folder has none of them, or one does not fit.
    """
    need(folder, "VBench's models")
    found = {name: _first(folder, patterns) for name, (patterns, _) in VBENCH.items()}
    if not any(found.values()):
        raise ValueError(f"{folder} has no folder dino*, no file raft*.pth and no file musiq*.pth.")
    return {name: VBENCH[name][1](path) for name, path in found.items() if path}


def _first(folder: Path, patterns: tuple[str, ...]) -> Path | None:
    """First path that matches a pattern."""
    paths = sorted(path for pattern in patterns for path in folder.glob(pattern))
    return paths[0] if paths else None
