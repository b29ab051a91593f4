"""Inspection and verification of checkpoints."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..config import to_dict
from .checked_files import naming
from .config_from_weights import Network, network_of
from .gguf_file import SUFFIX, GgufFile
from .load_weights import check_whole, expected_shapes, is_quantisation, quantised_layers
from .shard_sets import files_of
from .weight_files import WeightFiles
from .write_safetensors import OnBytes, silent, size_of

CHUNK = 1 << 24
INTEGERS = (torch.uint8, torch.int8)


def inspect(path: Path) -> dict[str, Any]:
    """Describe a checkpoint from its headers alone.

    Args:
        path: A safetensors or GGUF file, or a folder of shards.

    Returns:
        ``contents`` (joint, or the branch), ``kind``, ``files``, ``bytes``, ``tensors``, ``parameters``, ``groups``
        (first component of the names to parameters), ``dtypes`` (dtype or block format to parameters),
        ``quantised_layers`` and ``geometry``.

    Raises:
        CheckpointError: If a file is missing or damaged.
        ImportError: If it is GGUF and the package ``gguf`` is not installed.
        NotUniAVGenError: If it belongs to another network.
    """
    files = _opened(path)
    network = _network_in(files)
    formats = {name: kind.name for name, kind in files.kinds.items()} if isinstance(files, GgufFile) else {}
    groups, dtypes = Counter[str](), Counter[str]()
    whole = expected_shapes(network)  # of a packed weight the file's shape does not tell
    for name, entry in files.entries.items():
        if not is_quantisation(name):
            count = torch.Size(whole.get(name, entry.shape)).numel()
            groups[name.split(".")[0]] += count
            dtypes[formats.get(name, str(entry.dtype).removeprefix("torch."))] += count
    layers = formats or quantised_layers(files.entries)
    shards = f"{len(files.files)} shards" if len(files.files) > 1 else "one file"
    return {
        "contents": network.contents.value,
        "kind": f"{shards}, {'quantized' if layers else 'plain'}",
        "files": [file.name for file in files.files],
        "bytes": sum(file.stat().st_size for file in files.files),
        "tensors": len(files.entries),
        "parameters": sum(groups.values()),
        "groups": dict(groups),
        "dtypes": dict(dtypes),
        "quantised_layers": len(layers),
        "geometry": to_dict(network.config),
    }


def verify(path: Path, hashes: Mapping[str, str] | None = None, on_bytes: OnBytes = silent) -> dict[str, Any]:
    """Verify every byte of a checkpoint.

    Args:
        path: A safetensors or GGUF file, or a folder of shards.
        hashes: File name to the expected sha256, hexadecimal; names of other files are ignored.
        on_bytes: Progress callback, first of hashing, then of reading the tensors.

    Returns:
        ``files`` (name, bytes, sha256), ``tensors``, ``problems`` (whole sentences, none for a good checkpoint) and
        ``notices`` (sentences about unexpected but harmless content).

    Raises:
        ImportError: If it is GGUF and the package ``gguf`` is not installed.
    """
    report: dict[str, Any] = {"files": [], "tensors": 0, "problems": [], "notices": []}
    problems = report["problems"]
    try:
        paths = files_of(path)
        report["files"] = _hashed(paths, on_bytes)
        problems += _wrong_hashes(report["files"], hashes or {})
        files = _opened(path)
        report["tensors"] = len(files.entries)
        fit = check_whole(files.shapes, _network_in(files))
        report["notices"] += fit.notices(path.name)
        problems += _lone_scales(files) if isinstance(files, WeightFiles) else []
    except ValueError as error:  # The file is damaged, of another network, or has unknown metadata.
        problems.append(str(error))
        return report
    problems += _not_finite(files, fit.unused, on_bytes)
    return report


def _opened(path: Path) -> WeightFiles | GgufFile:
    return GgufFile(path) if path.suffix == SUFFIX else WeightFiles(path)


def _network_in(files: WeightFiles | GgufFile) -> Network:
    with naming(files.files[0]):
        return network_of(files.shapes, files.metadata)


def _hashed(paths: list[Path], on_bytes: OnBytes) -> list[dict[str, Any]]:
    done, total = 0, sum(path.stat().st_size for path in paths)
    listed = []
    for path in paths:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                done += len(chunk)
                on_bytes(done, total)
        listed.append({"name": path.name, "bytes": path.stat().st_size, "sha256": digest.hexdigest()})
    return listed


def _wrong_hashes(files: list[dict[str, Any]], hashes: Mapping[str, str]) -> list[str]:
    return [
        f"{file['name']} has the sha256 {file['sha256']}, not {hashes[file['name']]}. Fetch it again."
        for file in files
        if file["name"] in hashes and file["sha256"] != hashes[file["name"]].lower()
    ]


def _lone_scales(files: WeightFiles) -> list[str]:
    """Problems of quantised layers without the scale that ComfyUI needs."""
    scales = (".weight_scale", ".scale_weight")
    return [
        f"The quantized layer {layer} has no scale."
        for layer in sorted(quantised_layers(files.entries))
        if not any(layer + scale in files.entries for scale in scales)
    ]


def _not_finite(files: WeightFiles | GgufFile, unused: Sequence[str], on_bytes: OnBytes) -> list[str]:
    sizes = {name: size_of(entry.dtype, entry.shape) for name, entry in files.entries.items()}
    problems, done, total = [], 0, sum(sizes.values())
    for name, tensor in files.tensors():
        is_checked = tensor.dtype not in INTEGERS and name not in unused
        if is_checked and (wrong := int((~torch.isfinite(tensor.float())).sum())):
            problems.append(f"{name} in {files.entries[name].file.name} holds {wrong} numbers that are not finite.")
        done += sizes[name]
        on_bytes(done, total)
    return problems
