"""Reading of PyTorch's pickled files (.pth, .pt, .bin) without running code in them."""

import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .checked_files import HALF_WAY, RAW_ERRORS, CheckpointError, require_file, shown, size_in_words

REFUSED_CODE = re.compile(r"GLOBAL ([\w.]+)")
"""Pattern of the function or class that a pickle refers to, in PyTorch's error message."""
OF_WEIGHTS = ("torch.", "collections.")
"""Modules whose classes a pickle of weights refers to."""
START_BYTES = 4096
MOST_SHARING = 4
"""Most bytes of all tensors for each byte of the file; tensors may share memory, as tied embeddings do."""
READ_AGAIN = "Get it again from its original source, as .safetensors where there is one."


def read_pickle(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a pickled file, memory-mapped if its format allows it.

    Args:
        path: File with a state dict, or with a dict that has one under ``state_dict`` or as its only entry.

    Raises:
        CheckpointError: If the file would run code (it is not run), is damaged, holds anything but tensors, or would
            take much more memory than its size.
    """
    require_file(path)
    try:
        is_zip = zipfile.is_zipfile(path)
        packed = is_zip and _is_compressed(path)
        content = None if packed else _load(path, is_zip)
    except Exception as error:  # noqa: BLE001 - damaged content raises errors of every kind
        # "from None" keeps the messages of pickle, which advise loading without weights_only, out of the log.
        raise _refusal(path, error) from None
    if packed:
        raise CheckpointError(f"{path.name} is compressed, as PyTorch never stores weights. {READ_AGAIN}")
    tensors = _state_dict(content)
    if not isinstance(tensors, dict) or not tensors or not all(isinstance(it, Tensor) for it in tensors.values()):
        raise CheckpointError(f"{path.name} holds something other than tensors. {READ_AGAIN}")
    _check_tensors(path, tensors)
    return dict(tensors)


def _load(path: Path, is_zip: bool) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the pickle's protocol
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)


def _is_compressed(path: Path) -> bool:
    """True if an archive unpacks to more than itself; PyTorch stores its files as they are."""
    with zipfile.ZipFile(path) as archive:
        files = archive.infolist()
    is_packed = any(file.compress_type != zipfile.ZIP_STORED for file in files)
    return is_packed or sum(file.file_size for file in files) > path.stat().st_size


def _state_dict(content: Any) -> Any:
    if not isinstance(content, dict):
        return content
    only = next(iter(content.values())) if len(content) == 1 else None
    nested = content.get("state_dict")
    if isinstance(nested, dict) and nested:
        return nested
    return only if isinstance(only, dict) else content


def _check_tensors(path: Path, tensors: Mapping[Any, Tensor]) -> None:
    """Refuse names that are none, tensors of kinds that no network has, and tensors larger than what is stored."""
    total = 0
    for name, tensor in tensors.items():
        is_plain = tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        if not isinstance(name, str) or not is_plain or tensor.is_complex():
            raise CheckpointError(f"{path.name}: {shown(repr(name))} is not a tensor of weights. {READ_AGAIN}")
        total += tensor.nbytes
        if tensor.nbytes > tensor.untyped_storage().nbytes():
            raise CheckpointError(f"{path.name}: {shown(name)} repeats what is stored for it. {READ_AGAIN}")
    if total > MOST_SHARING * path.stat().st_size:
        raise CheckpointError(f"The tensors of {path.name} would take {total} bytes, many times its size. {READ_AGAIN}")


def _refusal(path: Path, error: Exception) -> CheckpointError:
    code = REFUSED_CODE.search(str(error))
    name = code[1] if code else _code_at_start(path)
    if name:
        return CheckpointError(
            f"{path.name} asks to run code when it is read ({shown(name)}), which a file of weights has no need to do. "
            "It was not run. Delete the file and get it from its original source, as .safetensors where there is one."
        )
    return CheckpointError(
        f"{path.name} is truncated, or is not a PyTorch file of tensors alone; {size_in_words(path)}. {HALF_WAY}"
    )


def _code_at_start(path: Path) -> str | None:
    """Function or class, not one of PyTorch's, at the start of a pickle that PyTorch does not read at all."""
    texts: list[str] = []
    try:
        with path.open("rb") as file:
            for opcode, argument, _ in pickletools.genops(file.read(START_BYTES)):
                if opcode.name == "STACK_GLOBAL":
                    argument = ".".join(texts[-2:])
                elif opcode.name == "GLOBAL":
                    argument = str(argument).replace(" ", ".")
                elif isinstance(argument, str):
                    texts.append(argument)
                if "GLOBAL" in opcode.name and not str(argument).startswith(OF_WEIGHTS):
                    return str(argument)
    except (OSError, *RAW_ERRORS):
        return None
    return None
