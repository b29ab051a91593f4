"""Loading of a checkpoint as a MODEL, as ComfyUI loads its own, but with strict checks."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.patcher_extension
import comfy.utils
from comfy.quant_ops import QuantizedTensor
from torch import Tensor

from ....uniavgen_core.checkpoint.checked_files import CheckpointError, naming
from ....uniavgen_core.checkpoint.config_from_weights import METADATA_KEY, PREVIEW_KEY, Contents, Network, network_of
from ....uniavgen_core.checkpoint.load_weights import check_whole, expected_shapes
from ....uniavgen_core.checkpoint.own_sampling import own_sampling
from ....uniavgen_core.checkpoint.shard_sets import strip_prefix
from ....uniavgen_core.checkpoint.trained_on import trained_on
from ....uniavgen_core.shapes import LATENT_CHANNELS
from ..conditioning.known_words import known_text_of
from ..conditioning.pass_settings import KEY
from ..conditioning.track_masks import mask_tracks
from ..notices import announce
from ..sampling.joint_latent import preview_colours
from ..sampling.sampling_checks import check_sampling
from .branch_models import AudioAloneConfig, VideoAloneConfig
from .fill_weights import fill_weights, read_weights
from .gguf_layout import mark_packed_layers
from .joint_model import UniAVGen, UniAVGenConfig
from .quantised_files import check_packed, with_descriptions

OUTER_SAMPLE = comfy.patcher_extension.WrappersMP.OUTER_SAMPLE


def load_uniavgen(
    path: str,
    model_options: dict | None = None,
    disable_dynamic: bool = False,
    on_notice: Callable[[str], None] = announce,
) -> comfy.model_patcher.ModelPatcher:
    """Load a UniAVGen checkpoint, or one branch alone: Wan2.2-TI2V-5B, or a file of the audio branch.

    Args:
        path: A safetensors file with the tensor names of the release or of Wan, plain or in ComfyUI's quantised
            formats, a folder of shards, or a GGUF file.
        model_options: ComfyUI's loading options: ``dtype``, ``custom_operations``, ``fp8_optimizations``.
        disable_dynamic: Use ComfyUI's plain patcher.
        on_notice: Called with each harmless oddity of the file, a whole sentence.

    Raises:
        CheckpointError: If a file is missing or damaged, or does not fit.
        NotUniAVGenError: If the file holds another model.
    """
    options, file = model_options or {}, Path(path)
    tensors, metadata = read_weights(path)
    with naming(file):
        tensors, metadata = with_descriptions(strip_prefix(tensors), metadata)
        network, tensors = _fitted(tensors, metadata, file.name, on_notice)
        model = _build(network, tensors, metadata, options)
        patcher = _make_patcher(model, options, disable_dynamic)
        fill_weights(model.diffusion_model, tensors, assign=patcher.is_dynamic(), file=file.name)
    mark_packed_layers(model.diffusion_model)
    patcher.cached_patcher_init = (load_uniavgen, (path, options))
    patcher.add_wrapper_with_key(OUTER_SAMPLE, KEY, check_sampling)
    if model.has_audio:
        patcher.add_wrapper_with_key(OUTER_SAMPLE, KEY, mask_tracks)
    return patcher


def _fitted(
    tensors: dict[str, Tensor], metadata: Mapping[str, str], file: str, on_notice: Callable[[str], None]
) -> tuple[Network, dict[str, Tensor]]:
    """Network in a file, and the tensors that it needs, which fit."""
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    network = network_of(shapes, metadata)
    _check_channels(network, file)
    fit = check_whole(shapes, network)
    check_packed(tensors, expected_shapes(network))
    for notice in fit.notices(file):
        on_notice(notice)
    return network, fit.fitted(tensors.items())


def _build(network: Network, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], options: dict) -> UniAVGen:
    """ComfyUI's model for a network, as its file's metadata describe it; its weights are still to be filled in."""
    config = _model_config(network, METADATA_KEY in metadata)
    config.clips, config.own_sampling = trained_on(network.config, metadata), own_sampling(metadata)
    if PREVIEW_KEY in metadata:
        latent_format: Any = config.latent_format  # an instance of the class by now
        latent_format.use_colours(*preview_colours(metadata[PREVIEW_KEY]))
    _choose_dtypes(config, tensors, options)
    model = config.get_model(dict(tensors))
    model.known_text = known_text_of(network.config.text, metadata)
    return model


def require_uniavgen(model: comfy.model_patcher.ModelPatcher) -> None:
    """Raise a ``ValueError`` that names the right loader if a MODEL is of another family."""
    if not isinstance(model.model, UniAVGen):
        family = type(model.model).__name__
        is_wan = "WAN" in family.upper()
        hint = " The stock loader takes a UniAVGen file for Wan and drops its audio half." if is_wan else ""
        raise ValueError(f"This MODEL is {family}, not UniAVGen.{hint} Load it with the node 'UniAVGen Load Model'.")


def require_both_branches(model: comfy.model_patcher.ModelPatcher, node: str) -> None:
    """Raise a ``ValueError`` on behalf of a node if a MODEL is not the joint model of UniAVGen."""
    require_uniavgen(model)
    if not (model.model.has_video and model.model.has_audio):
        raise ValueError(
            f"This MODEL is {model.model.title}, in which video and audio do not interact; '{node}' needs "
            "that. Choose the joint model in 'UniAVGen Load Model', or remove the node."
        )


def _model_config(network: Network, has_metadata: bool) -> UniAVGenConfig:
    """ComfyUI's model config of a network.

    A video file without UniAVGen's metadata is Wan2.2, which was not trained with a reference image.
    """
    if network.contents is Contents.VIDEO:
        return VideoAloneConfig(network.config, knows_reference=has_metadata)
    kind = AudioAloneConfig if network.contents is Contents.AUDIO else UniAVGenConfig
    return kind(network.config)


def _check_channels(network: Network, file: str) -> None:
    channels = network.config.latent_channels
    if network.contents is Contents.VIDEO and channels != LATENT_CHANNELS:
        raise CheckpointError(
            f"{file} is a video model whose latents have {channels} channels, such as Wan2.1 and the 14B "
            f"models of Wan2.2. UniAVGen's video branch is Wan2.2-TI2V-5B, with {LATENT_CHANNELS}: choose that file, "
            "or load this one with ComfyUI's own 'Load Diffusion Model'."
        )


def _choose_dtypes(config: Any, tensors: Mapping[str, Tensor], options: dict) -> None:
    management, supported = comfy.model_management, config.supported_inference_dtypes
    config.quant_config = comfy.utils.detect_layer_quantization(tensors, "")
    if any(isinstance(tensor, QuantizedTensor) for tensor in tensors.values()):
        config.quant_config = {"mixed_ops": True}  # as ComfyUI sets it for its own quantised files
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


def _make_patcher(model: UniAVGen, options: dict, disable_dynamic: bool) -> comfy.model_patcher.ModelPatcher:
    management = comfy.model_management
    load_device = options.get("load_device", management.get_torch_device())
    offload_device = options.get("offload_device", management.unet_offload_device())
    # ComfyUI rebinds CoreModelPatcher while it starts, so it is looked up here and not at import.
    kind = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    patcher = kind(model, load_device=load_device, offload_device=offload_device)
    if not management.is_device_cpu(offload_device):
        model.to(offload_device)
    return patcher
