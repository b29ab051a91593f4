"""Tensors of the files that PyTorch pickles (.pth, .pt, .bin), read without running what else is in them."""

import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .weight_files import CheckpointError

REFUSED_CODE = re.compile(r"GLOBAL ([\w.]+)")
"""Pattern of the function or class that a pickle asks for, in PyTorch's message."""


def read_pickle(path: Path | str) -> dict[str, Tensor]:
    """Read the tensors of a pickled file, memory-mapped where its format allows that.

    Args:
        path: The file; a state dict, or a dict with one under ``state_dict`` or as its only entry.

    Raises:
        CheckpointError: If the file asks to run code, which is then not run, is damaged, or holds anything but tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # pickle's and zip's errors, whose texts advise to load without weights_only
        raise _refusal(path, error) from error
    tensors = _state_dict(content)
    if not isinstance(tensors, dict) or not tensors or not all(isinstance(it, Tensor) for it in tensors.values()):
        raise CheckpointError(f"{path.name} holds something else than tensors.")
    return tensors


def _state_dict(content: Any) -> Any:
    if not isinstance(content, dict):
        return content
    only = next(iter(content.values())) if len(content) == 1 else None
    return content.get("state_dict") or (only if isinstance(only, dict) else content)


def _refusal(path: Path, error: Exception) -> CheckpointError:
    code = REFUSED_CODE.search(str(error))
    if code:
        return CheckpointError(
            f"{path.name} asks to run code when it is read ({code[1]}), which a file of weights has no need to do. It "
            "was not run. Delete the file and get it from its original source, as .safetensors where there is one."
        )
    return CheckpointError(
        f"{path.name} is cut short, or is no file of PyTorch's with tensors alone; its size is {path.stat().st_size} "
        "bytes. If it is a download, it may have stopped half way: fetch it again and compare its size."
    )
