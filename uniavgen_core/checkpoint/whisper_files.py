"""Check of Whisper folders in Hugging Face's format: config, weights, feature extractor and tokenizer."""

from pathlib import Path
from typing import Any

from .checked_files import CheckpointError, is_file, opened, parse_object, read_text
from .shard_sets import INDEX_SUFFIX, files_of

MOST_BYTES = 1 << 25
"""Most bytes of a JSON file; the largest, a tokenizer.json, has 4 million."""
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
        form = next((names for names in forms if all(is_file(folder / name) for name in names)), None)
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
    if is_file(whole):
        return [whole]
    shards = sorted(folder.glob(f"{_WEIGHTS}-*.safetensors"))
    if not shards or not is_file(folder / f"{_WEIGHTS}{INDEX_SUFFIX}"):
        raise WhisperError(f"It has no {whole.name}, nor shards with {_WEIGHTS}{INDEX_SUFFIX}.")
    return files_of(shards[0])


def _read_object(path: Path) -> dict[str, Any]:
    """JSON object of a file."""
    try:
        return parse_object(read_text(path, MOST_BYTES), str(path))
    except CheckpointError as error:
        raise WhisperError(f"The Whisper folder {path.parent} is damaged. {error} Fetch it again.") from error
