"""Loads a checkpoint as a MODEL, the way ComfyUI loads its own, but strictly."""

import json
from collections.abc import Mapping
from pathlib import Path

import comfy.model_management
import comfy.model_patcher
import comfy.patcher_extension
import comfy.utils
from comfy.quant_ops import QuantizedTensor
from torch import Tensor

from ...uniavgen_core.checkpoint.files import files_of, strip_prefix
from ...uniavgen_core.checkpoint.geometry import PREVIEW_KEY, config_from_shapes
from ...uniavgen_core.checkpoint.load import check_whole
from .check import check_sampling
from .conditions import KEY
from .gguf import mark_packed
from .model import UniAVGen, UniAVGenConfig
from .tracks import mask_tracks
from .weights import fill, read_weights

OUTER_SAMPLE = comfy.patcher_extension.WrappersMP.OUTER_SAMPLE


def load_uniavgen(
    path: str, model_options: dict | None = None, disable_dynamic: bool = False
) -> comfy.model_patcher.ModelPatcher:
    """Load a UniAVGen checkpoint.

    Args:
        path: A safetensors file in the release's names, plain or quantised as ComfyUI does it, a folder of shards, or a
            GGUF file.
        model_options: ComfyUI's loading options: ``dtype``, ``custom_operations``, ``fp8_optimizations``.
        disable_dynamic: Use ComfyUI's plain patcher.

    Raises:
        CheckpointError: If a file is missing or damaged, or does not fit.
        NotUniAVGenError: If it holds another model.
    """
    options = model_options or {}
    tensors, metadata = read_weights(path)
    tensors, metadata = comfy.utils.convert_old_quants(strip_prefix(tensors), "", metadata=metadata)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    geometry = config_from_shapes(shapes, metadata)
    check_whole(shapes, geometry)
    config = UniAVGenConfig(geometry)
    if PREVIEW_KEY in metadata:
        config.latent_format.use_colours(**json.loads(metadata[PREVIEW_KEY]))
    _choose_dtypes(config, tensors, options)
    model = config.get_model(tensors)
    patcher = _patch(model, options, disable_dynamic)
    fill(model.diffusion_model, tensors, assign=patcher.is_dynamic())
    mark_packed(model.diffusion_model)
    patcher.cached_patcher_init = (load_uniavgen, (path, options))
    patcher.add_wrapper_with_key(OUTER_SAMPLE, KEY, check_sampling)
    patcher.add_wrapper_with_key(OUTER_SAMPLE, KEY, mask_tracks)
    return patcher


def identity_of(model: comfy.model_patcher.ModelPatcher) -> tuple:
    """What tells a MODEL from another: its files and their sizes, its loading options, and its patches."""
    path, options = model.cached_patcher_init[1]
    patches = str(model.patches_uuid) if model.patches else ""
    files = [
        part for file in files_of(Path(path)) for part in (file.name, file.stat().st_size, file.stat().st_mtime_ns)
    ]
    return (*files, str(sorted(options.items(), key=str)), patches)


def require_uniavgen(model: comfy.model_patcher.ModelPatcher) -> None:
    """Refuse a MODEL of another family.

    Raises:
        ValueError: Saying which model it is, and which node loads the right one.
    """
    if not isinstance(model.model, UniAVGen):
        family = type(model.model).__name__
        hint = (
            " The stock loader takes a UniAVGen file for Wan and drops its audio half."
            if "WAN" in family.upper()
            else ""
        )
        raise ValueError(f"This MODEL is {family}, not UniAVGen.{hint} Load it with the node 'UniAVGen Load Model'.")


def _choose_dtypes(config: UniAVGenConfig, tensors: Mapping[str, Tensor], options: dict) -> None:
    management, supported = comfy.model_management, config.supported_inference_dtypes
    config.quant_config = comfy.utils.detect_layer_quantization(tensors, "")
    if any(isinstance(tensor, QuantizedTensor) for tensor in tensors.values()):
        config.quant_config = {"mixed_ops": True}  # as ComfyUI says it of its own quantised files
    quantised = config.quant_config is not None
    dtype = options.get("dtype") or management.unet_dtype(
        model_params=comfy.utils.calculate_parameters(tensors),
        supported_dtypes=list(supported),
        weight_dtype=None if quantised else comfy.utils.weight_dtype(tensors),
    )
    device = options.get("load_device", management.get_torch_device())
    cast = management.unet_manual_cast(None if quantised else dtype, device, supported)
    config.set_inference_dtype(dtype, cast, device=device)
    if options.get("custom_operations") is not None:
        config.custom_operations = options["custom_operations"]
    if options.get("fp8_optimizations"):
        config.optimizations["fp8"] = True


def _patch(model: UniAVGen, options: dict, disable_dynamic: bool) -> comfy.model_patcher.ModelPatcher:
    management = comfy.model_management
    load_device = options.get("load_device", management.get_torch_device())
    offload_device = options.get("offload_device", management.unet_offload_device())
    # ComfyUI rebinds CoreModelPatcher while it starts, so it is looked up here and not at import.
    kind = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    patcher = kind(model, load_device=load_device, offload_device=offload_device)
    if not management.is_device_cpu(offload_device):
        model.to(offload_device)
    return patcher
