"""Loads a checkpoint as a MODEL, the way ComfyUI loads its own, but strictly."""

import json
from collections.abc import Mapping
from pathlib import Path

import comfy.model_management
import comfy.model_patcher
import comfy.patcher_extension
import comfy.utils
from safetensors import SafetensorError
from torch import Tensor

from ...uniavgen_core.checkpoint.geometry import PREVIEW_KEY, config_from_shapes
from ...uniavgen_core.checkpoint.load import CheckpointError, check_fit, strip_prefix
from .check import check_sampling
from .conditions import KEY
from .model import UniAVGen, UniAVGenConfig

QUANTISATION_SUFFIXES = (
    ".comfy_quant",
    ".weight_scale",
    ".weight_scale_2",
    ".input_scale",
    ".scale_weight",
    ".scale_input",
)
OUTER_SAMPLE = comfy.patcher_extension.WrappersMP.OUTER_SAMPLE


def load_uniavgen(
    path: str, model_options: dict | None = None, disable_dynamic: bool = False
) -> comfy.model_patcher.ModelPatcher:
    """Load a UniAVGen checkpoint.

    Args:
        path: A safetensors file in the release's names, plain or quantised as ComfyUI does it.
        model_options: ComfyUI's loading options: ``dtype``, ``custom_operations``, ``fp8_optimizations``.
        disable_dynamic: Use ComfyUI's plain patcher.

    Raises:
        CheckpointError: If the file is damaged or does not fit.
        NotUniAVGenError: If it holds another model.
    """
    options = model_options or {}
    tensors, metadata = read_file(path)
    tensors, metadata = comfy.utils.convert_old_quants(strip_prefix(tensors), "", metadata=metadata)
    shapes = {name: tensor.shape for name, tensor in tensors.items() if not name.endswith(QUANTISATION_SUFFIXES)}
    config = UniAVGenConfig(config_from_shapes(shapes, metadata))
    if PREVIEW_KEY in metadata:
        config.latent_format.use_colours(**json.loads(metadata[PREVIEW_KEY]))
    _choose_dtypes(config, tensors, options)
    model = config.get_model(tensors)
    if config.quant_config is None:
        check_fit(shapes, {name: tensor.shape for name, tensor in model.diffusion_model.state_dict().items()})
    patcher = _patch(model, options, disable_dynamic)
    model.load_model_weights(tensors, "", assign=patcher.is_dynamic())
    patcher.cached_patcher_init = (load_uniavgen, (path, options))
    patcher.add_wrapper_with_key(OUTER_SAMPLE, KEY, check_sampling)
    return patcher


def read_file(path: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata by ComfyUI's reader; a file cut short is named as such."""
    try:
        tensors, metadata = comfy.utils.load_torch_file(path, return_metadata=True)
    except (SafetensorError, ValueError, EOFError) as error:
        raise CheckpointError(
            f"{Path(path).name} cannot be read ({error}); its size is {Path(path).stat().st_size} bytes. "
            "If it is a download, it may have stopped half way: fetch it again and compare its size."
        ) from error
    return tensors, metadata or {}


def identity_of(model: comfy.model_patcher.ModelPatcher) -> tuple:
    """What tells a MODEL from another: its file and size, its loading options, and its patches."""
    path, options = model.cached_patcher_init[1]
    patches = str(model.patches_uuid) if model.patches else ""
    file = Path(path)
    return (file.name, file.stat().st_size, file.stat().st_mtime_ns, str(sorted(options.items(), key=str)), patches)


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
