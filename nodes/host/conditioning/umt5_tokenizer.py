"""umT5's tokenizer, read from ComfyUI's text encoder file or from files of the release, never from the network."""

from collections.abc import Iterator
from pathlib import Path

import folder_paths
import torch
from comfy.text_encoders.spiece_tokenizer import SPieceTokenizer
from torch import Tensor

from ....uniavgen_core.checkpoint.checked_files import CheckpointError, is_file, opened, shown
from ....uniavgen_core.checkpoint.umt5_files import COMFYUI_FILE, SPIECE
from ..model_folders import files_below, names_in, path_of

FOLDER = "google/umt5-xxl"
"""Folder of the tokenizer in the release."""
SENTENCEPIECE, JSON = "spiece.model", "tokenizer.json"
MOST_SPARE_ROWS = 512
"""Most rows of the embedding without a piece of the tokenizer; umT5-xxl has 384 of them."""
ROOTS = ("text_encoders", "diffusion_models")
MOST_BYTES = 1 << 26
"""Most bytes of a tokenizer; umT5's tokenizer.json has 17 million."""
END = 1


class SentencePieceTokenizer:
    """Tokenizer that turns text into piece ids and appends the end-of-text id.

    Its source is a spiece.model, a tokenizer.json, or a file that holds a spiece.model, whose bytes are ``spiece``.
    """

    def __init__(self, source: Path, spiece: Tensor | None = None) -> None:
        if spiece is None and source.name == JSON:
            import tokenizers

            self._processor, self._spiece = tokenizers.Tokenizer.from_file(str(source)), None
        else:
            self._spiece = SPieceTokenizer(str(source) if spiece is None else spiece)

    @staticmethod
    def from_pretrained(tokenizer: "SentencePieceTokenizer") -> "SentencePieceTokenizer":
        """Return the tokenizer unchanged; ComfyUI calls this with what it holds in place of a path."""
        return tokenizer

    def __call__(self, text: str) -> dict[str, list[int]]:
        if self._spiece is not None:
            return self._spiece(text)
        ids = self._processor.encode(text, add_special_tokens=False).ids
        return {"input_ids": [*ids, END]}

    def get_vocab(self) -> dict[str, int]:
        """Id of each piece."""
        return self._processor.get_vocab() if self._spiece is None else self._spiece.get_vocab()

    def state_dict(self) -> dict[str, Tensor]:
        """Tokenizer in the form in which ComfyUI's text encoder files hold it; empty for a tokenizer.json."""
        return {} if self._spiece is None else {SPIECE: self._spiece.serialize_model()}

    def fits(self, rows: int) -> bool:
        """True if an embedding with ``rows`` rows can belong to this tokenizer, and its end-of-text id is umT5's."""
        return 0 <= rows - len(self.get_vocab()) < MOST_SPARE_ROWS and self("")["input_ids"] == [END]


def find_tokenizer(file: Path, spiece: Tensor | None, rows: int) -> SentencePieceTokenizer:
    """Find the tokenizer of an encoder.

    Args:
        file: The encoder's file.
        spiece: Bytes of the tokenizer inside that file, or None.
        rows: Rows of the encoder's embedding.

    Raises:
        CheckpointError: If there is no tokenizer; the message says which file belongs where.
    """
    if spiece is not None:
        return _tokenizer_inside(file, spiece, rows)
    rejected: list[str] = []
    for path, spiece in _candidates(file):
        try:
            return _read_tokenizer(path, spiece, rows)
        except CheckpointError as error:
            rejected.append(str(error))
    target = folder_paths.get_folder_paths("text_encoders")[0]
    raise CheckpointError(
        f"{file.name} holds no tokenizer, and none for its {rows} pieces was found beside it or in {target}. Copy the "
        f"release's {FOLDER}/{SENTENCEPIECE} (or {JSON}) to {file.parent / FOLDER}, or put ComfyUI's {COMFYUI_FILE}, "
        f"which holds one, into {target}. {' '.join(rejected)}".rstrip()
    )


def _tokenizer_inside(file: Path, spiece: Tensor, rows: int) -> SentencePieceTokenizer:
    """Read the tokenizer of an encoder's own file, and refuse a damaged one or one with more pieces than ``rows``."""
    tokenizer = _parsed(file, spiece)
    if len(tokenizer.get_vocab()) > rows:
        raise CheckpointError(f"{file.name} is damaged: its tokenizer has more pieces than its {rows} features.")
    return tokenizer


def _read_tokenizer(path: Path, spiece: Tensor | None, rows: int) -> SentencePieceTokenizer:
    """Read a tokenizer, and refuse a damaged one or one that does not fit an embedding with ``rows`` rows."""
    tokenizer = _parsed(path, spiece)
    if not tokenizer.fits(rows):
        raise CheckpointError(
            f"{path} was found, but belongs to another model: it has {len(tokenizer.get_vocab())} pieces."
        )
    return tokenizer


def _parsed(path: Path, spiece: Tensor | None) -> SentencePieceTokenizer:
    """Parse a tokenizer that can list its pieces and split a text."""
    if spiece is None and path.stat().st_size > MOST_BYTES:
        raise CheckpointError(f"{path} was found, but has more than {MOST_BYTES} bytes and is no tokenizer.")
    if spiece is not None and (spiece.dtype is not torch.uint8 or spiece.ndim != 1 or len(spiece) > MOST_BYTES):
        raise CheckpointError(f"{path} is damaged: its {SPIECE} is not a tokenizer. Fetch it again.")
    try:
        tokenizer = SentencePieceTokenizer(path, spiece)
        tokenizer("a")
        tokenizer.get_vocab()
    except Exception as error:  # sentencepiece and tokenizers raise many kinds of errors for a damaged file
        fault = "was found, but is damaged" if spiece is None else "is damaged: its tokenizer cannot be read"
        raise CheckpointError(f"{path} {fault} ({shown(error)}).") from error
    return tokenizer


def _candidates(file: Path) -> Iterator[tuple[Path, Tensor | None]]:
    """Candidate tokenizers: beside a file, then in the model folders, then inside other encoders' files."""
    seen = set()
    for path in _tokenizer_files(file.parent):
        if is_file(path) and path not in seen:
            seen.add(path)
            yield path, None
    for name in names_in("text_encoders"):
        path = path_of("text_encoders", name)
        spiece = None if path is None else _spiece_in(path)
        if path is not None and spiece is not None:
            yield path, spiece


def _tokenizer_files(beside: Path) -> Iterator[Path]:
    for folder in (beside / FOLDER, beside / Path(FOLDER).name, beside):
        yield from (folder / name for name in (SENTENCEPIECE, JSON))
    for root in (root for key in ROOTS for root in folder_paths.get_folder_paths(key)):
        names = [Path(root, name) for name in files_below(root) if Path(name).name in (SENTENCEPIECE, JSON)]
        yield from sorted(names, key=lambda path: (FOLDER not in path.as_posix(), path.name == JSON, path))


def _spiece_in(path: Path) -> Tensor | None:
    """Tokenizer inside a safetensors file, or None; a file without one is read no further than its header."""
    if path.suffix != ".safetensors":
        return None
    try:
        with opened(path) as file:
            return file.get_tensor(SPIECE) if SPIECE in file.keys() else None  # noqa: SIM118 - not a mapping
    except CheckpointError:
        return None
