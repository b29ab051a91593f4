"""Peers of the video branch at the same size, and our network with ComfyUI's layers.

ComfyUI's Wan2.2 network gets the weights of our video branch. That of diffusers has random weights, because the
arithmetic does not depend on them.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from tools.pack import comfyui_arguments, load_pack
from uniavgen_core.checkpoint.comfy_layers import Fp8
from uniavgen_core.checkpoint.quantize_weights import QuantizeConfig
from uniavgen_core.config import ModelConfig
from uniavgen_core.layers.backend import Backend
from uniavgen_core.model.joint import JointModel

from .memory import quantised_layers

VideoPass = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Function from latents (B, C, T, H, W), timesteps (B,) and captions (B, L, caption_dim) to velocities."""
FP8 = Fp8(QuantizeConfig.kind)
ATTENTIONS = {
    "pytorch": "use_pytorch_cross_attention",
    "sage": "use_sage_attention",
    "flash": "use_flash_attention",
}
"""ComfyUI's start-up argument for each kind of attention."""


@cache
def comfy_ops(device: str, attention: str = "pytorch") -> Any:
    """Import ComfyUI's layers for a device and one of ``ATTENTIONS``; only the first call in a process has an effect.

    By default ComfyUI does not use PyTorch's fused attention on a CPU.

    Raises:
        ImportError: If ``COMFYUI_PATH`` does not lead to ComfyUI; ``dev.py bench`` sets it.
    """
    args = comfyui_arguments("bench cpu")
    args.cpu = torch.device(device).type == "cpu"
    setattr(args, ATTENTIONS[attention], True)
    import comfy.ops

    return comfy.ops


def comfyui_wan(config: ModelConfig, weights: Mapping[str, Tensor], device: str, dtype: torch.dtype) -> VideoPass:
    """ComfyUI's own Wan2.2 network on the very weights of our video branch, given in Wan's names."""
    operations = comfy_ops(device).disable_weight_init
    from comfy.ldm.wan.model import WanModel

    video, text = config.video, config.text
    model = WanModel(
        model_type="t2v",
        patch_size=(1, config.patch_size, config.patch_size),
        text_len=text.caption_length,
        in_dim=config.latent_channels,
        dim=video.dim,
        ffn_dim=video.ffn_dim,
        freq_dim=config.time_dim,
        text_dim=text.caption_dim,
        out_dim=config.latent_channels,
        num_heads=video.num_heads,
        num_layers=config.num_layers,
        device="meta",
        dtype=dtype,
        operations=operations,
    )
    dtypes = {name: tensor.dtype for name, tensor in model.state_dict().items()}  # of the patch embedding: float32
    model.load_state_dict({name: tensor.to(dtypes[name]) for name, tensor in weights.items()}, assign=True)
    return model.eval()


def diffusers_wan(config: ModelConfig, device: str, dtype: torch.dtype) -> VideoPass:
    """The Wan2.2 network of diffusers.

    Raises:
        ImportError: If the package ``diffusers`` is not installed.
    """
    from diffusers import WanTransformer3DModel

    video, text = config.video, config.text
    with torch.random.fork_rng(devices=[]), torch.device(device):
        model = WanTransformer3DModel(
            patch_size=(1, config.patch_size, config.patch_size),
            num_attention_heads=video.num_heads,
            attention_head_dim=video.head_dim,
            in_channels=config.latent_channels,
            out_channels=config.latent_channels,
            text_dim=text.caption_dim,
            freq_dim=config.time_dim,
            ffn_dim=video.ffn_dim,
            num_layers=config.num_layers,
        )
    model = model.to(dtype).eval()
    return lambda latents, time, caption: model(latents, time, caption, return_dict=False)[0]


def comfy_backend(operations: Any, device: str, dtype: torch.dtype) -> Backend:
    """Backend of the pack: ComfyUI's layers, with the attention and kernels that it selects."""
    return load_pack().nodes.host.model.comfy_backend.host_backend(operations, dtype, device)


def plain_backend(device: str, dtype: torch.dtype) -> Backend:
    """Backend of the pack for weights that are neither packed nor offloaded; layers are made on the meta device."""
    return comfy_backend(comfy_ops(device).disable_weight_init, "meta", dtype)


def in_fp8(model: JointModel, device: str) -> JointModel:
    """Convert the large layers of a network to scaled fp8, as in ComfyUI, with fp8 matmuls if supported."""
    dtype = model.patch_embedding.weight.dtype
    operations = comfy_ops(device).mixed_precision_ops({}, dtype)
    with torch.device(device):
        small = JointModel(model.config, comfy_backend(operations, device, dtype)).to(dtype)
    small.load_state_dict(fp8_weights(model))
    return small.eval()


def fp8_weights(model: nn.Module) -> dict[str, Tensor]:
    """Weights of a network in ComfyUI's scaled fp8 format."""
    weights = dict(model.state_dict())
    for layer in quantised_layers(model):
        packed = FP8.pack(weights[f"{layer}.weight"].float())
        weights |= {f"{layer}.{name}": tensor for name, tensor in packed.items()}
        weights[f"{layer}.comfy_quant"] = QuantizeConfig().note(FP8)
    return weights
