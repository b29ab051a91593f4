"""Reading of PyTorch's pickled files (.pth, .pt, .bin) without running code in them."""

import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .checked_files import CheckpointError

REFUSED_CODE = re.compile(r"GLOBAL ([\w.]+)")
"""Pattern of the function or class that a pickle refers to, in PyTorch's error message."""


def read_pickle(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a pickled file, memory-mapped if its format allows it.

    Args:
        path: File with a state dict, or with a dict that has one under ``state_dict`` or as its only entry.

    Raises:
        CheckpointError: If the file would run code (it is not run), is damaged, or holds anything but tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # The messages of pickle and zip advise loading without weights_only.
        raise _refusal(path, error) from error
    tensors = _state_dict(content)
    if not isinstance(tensors, dict) or not tensors or not all(isinstance(it, Tensor) for it in tensors.values()):
        raise CheckpointError(f"{path.name} holds something other than tensors.")
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
        f"{path.name} is truncated, or is not a PyTorch file of tensors alone; its size is {path.stat().st_size} "
        "bytes. If it is a download, it may have stopped half way: fetch it again and compare its size."
    )
