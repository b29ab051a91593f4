"""Whisper folders among ComfyUI's models, and a Whisper under ComfyUI's memory management.

A recognizer is a folder in Hugging Face's format, with config.json and safetensors weights. It is found in
``models/whisper`` and in ``models/audio_encoders``, and in the folders that extra_model_paths.yaml adds to them.
"""

from pathlib import Path, PurePath

import comfy.model_management
import comfy.model_patcher
import folder_paths
import torch
from torch import Tensor, nn

from ....uniavgen_core.checkpoint.whisper_files import WHISPER_CONFIG, WhisperError, check_whisper, is_whisper
from ....uniavgen_core.evaluation.paper_models import Whisper
from ..model_folders import names_in, path_of

KEY, NO_RECOGNIZER = "whisper", "none"
_ENCODERS = "audio_encoders"
folder_paths.add_model_folder_path(KEY, str(Path(folder_paths.models_dir) / KEY))


class HostedRecognizer:
    """A Whisper that ComfyUI loads before use and may unload afterwards."""

    def __init__(self, folder: Path) -> None:
        management = comfy.model_management
        device = management.text_encoder_device()
        try:
            with torch.inference_mode(False):
                self.whisper = Whisper(folder)
        except Exception as error:  # The type of the error depends on the version of transformers.
            raise WhisperError(f"The Whisper folder {folder} cannot be loaded: {error}") from error
        if device.type == "cpu":
            self.whisper.model.float()
        # The patcher sets attributes that transformers' own module does not let it set.
        self.patcher = comfy.model_patcher.ModelPatcher(
            nn.ModuleList([self.whisper.model]),
            load_device=device,
            offload_device=management.text_encoder_offload_device(),
        )

    def hear(self, waveform: Tensor, sample_rate: int) -> str:
        """Recognise the words of a mono waveform (N,)."""
        comfy.model_management.load_models_gpu([self.patcher], force_full_load=True)
        return self.whisper.hear_all(waveform, sample_rate)


def recognizer_folders() -> dict[str, Path]:
    """Whisper folders by their name in the node, damaged ones in ``models/whisper`` included."""
    found = {}
    for key in (KEY, _ENCODERS):
        for name in names_in(key):
            file = PurePath(name)
            if file.parent.name and (file.name == WHISPER_CONFIG or file.suffix == ".safetensors"):
                path = path_of(key, name)
                if path is not None and (key == KEY or is_whisper(path.parent)):
                    found.setdefault(file.parent.as_posix(), path.parent)
    return found


def recognizer_choices() -> list[str]:
    """Names of the recognizers, the first for none."""
    return [NO_RECOGNIZER, *sorted(recognizer_folders())]


def check_recognizer(name: str) -> Path | None:
    """Find and check the folder of a recognizer by its name in the node; None for none.

    Raises:
        WhisperError: If it is missing or damaged; says what to do.
    """
    if name == NO_RECOGNIZER:
        return None
    folder = recognizer_folders().get(name)
    remedy = (
        "Put a Whisper model in Hugging Face's format, such as the folder of openai/whisper-small, into "
        f"{folder_paths.get_folder_paths(KEY)[0]}, or choose '{NO_RECOGNIZER}'."
    )
    if folder is None:
        raise WhisperError(f"There is no Whisper folder '{name}'. {remedy}")
    try:
        check_whisper(folder)
    except WhisperError as error:
        raise WhisperError(f"{error} {remedy}") from error
    return folder


def load_recognizer(name: str) -> HostedRecognizer | None:
    """Load a recognizer by its name in the node; None for none.

    Raises:
        WhisperError: If its folder is missing or damaged.
    """
    folder = check_recognizer(name)
    return None if folder is None else HostedRecognizer(folder)
