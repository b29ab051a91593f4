"""Check of Whisper folders in Hugging Face's format: config, weights, feature extractor and tokenizer."""

import json
from pathlib import Path
from typing import Any

from .weight_files import INDEX_SUFFIX, CheckpointError, files_of, opened

WHISPER_CONFIG, MODEL_TYPE = "config.json", "whisper"
_WEIGHTS = "model"
_PARTS = {
    "feature extractor": (("preprocessor_config.json",), ("processor_config.json",)),
    "tokenizer": (("tokenizer.json",), ("vocab.json", "merges.txt")),
}
"""Files of each part, in any of several forms."""


class WhisperError(CheckpointError):
    """A Whisper folder is damaged, incomplete, or holds another model."""


def is_whisper(folder: Path) -> bool:
    """Return True if the config.json of a folder is that of a Whisper."""
    try:
        return _read_object(folder / WHISPER_CONFIG).get("model_type") == MODEL_TYPE
    except WhisperError:
        return False


def check_whisper(folder: Path) -> None:
    """Check a Whisper folder as far as that can be done without loading it.

    Raises:
        WhisperError: If a file is missing, cut short or of another model; the message names it.
    """
    kind = _read_object(folder / WHISPER_CONFIG).get("model_type")
    if kind != MODEL_TYPE:
        raise WhisperError(f"{folder / WHISPER_CONFIG} is of a model of type {kind!r}, not {MODEL_TYPE!r}.")
    for part, forms in _PARTS.items():
        form = next((names for names in forms if all((folder / name).is_file() for name in names)), None)
        if form is None:
            wanted = " or ".join(" and ".join(names) for names in forms)
            raise WhisperError(f"The Whisper folder {folder} has no {part}: {wanted}.")
        for name in form:
            if name.endswith(".json"):
                _read_object(folder / name)
    try:
        for file in _weight_files(folder):
            with opened(file):
                pass
    except CheckpointError as error:
        raise WhisperError(f"The Whisper folder {folder} is damaged. {error}") from error


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors file of a folder, or its shards."""
    whole = folder / f"{_WEIGHTS}.safetensors"
    if whole.is_file():
        return [whole]
    shards = sorted(folder.glob(f"{_WEIGHTS}-*.safetensors"))
    if not shards or not (folder / f"{_WEIGHTS}{INDEX_SUFFIX}").is_file():
        raise WhisperError(f"It has no {whole.name}, nor shards with {_WEIGHTS}{INDEX_SUFFIX}.")
    return files_of(shards[0])


def _read_object(path: Path) -> dict[str, Any]:
    """JSON object of a file."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WhisperError(f"The Whisper folder {path.parent} has no readable {path.name}.") from error
    except ValueError as error:
        raise WhisperError(f"{path} is not JSON ({error}). Fetch it again.") from error
    if not isinstance(values, dict):
        raise WhisperError(f"{path} holds no JSON object. Fetch it again.")
    return values
