"""The network as a ComfyUI diffusion model.

ComfyUI hands over a list of video and audio latents with a time for each token, and takes a list of velocities back.
Dimension key: B batch, T video latents, H and W latent rows and columns, S mel frames.
"""

from dataclasses import replace
from typing import Any

import comfy.conds
import comfy.model_base
import comfy.model_prefetch
import comfy.patcher_extension
import comfy.supported_models_base
import comfy.utils
import torch
from torch import Tensor, nn

from ...uniavgen_core.config import Interaction, ModelConfig
from ...uniavgen_core.model.joint import Conditions, JointModel, JointState
from ...uniavgen_core.shapes import video_frames_of
from .backend import host_backend
from .conditions import KEY, REFERENCE_IMAGE_KEY, Pass, pass_of
from .latent import JointLatentFormat

PREFETCH = "uniavgen_prefetch_queue"
DIFFUSION_MODEL = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL


class HostJointModel(JointModel):
    """The joint network, run layer by layer under ComfyUI's wrappers, patches and weight prefetching."""

    def __init__(
        self,
        joint_config: ModelConfig,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
        operations: Any = None,
        image_model: str | None = None,
    ) -> None:
        del image_model  # ComfyUI's name for the architecture; part of every unet_config.
        super().__init__(joint_config, host_backend(operations, dtype, device))
        self.dtype = dtype

    def forward(self, x: list[Tensor], timestep: tuple[Tensor, Tensor], *args: Any, **kwargs: Any) -> list[Tensor]:
        """Predict velocities; see ``_forward``. ComfyUI's wrappers run around it."""
        wrappers = comfy.patcher_extension.get_all_wrappers(DIFFUSION_MODEL, kwargs.get("transformer_options", {}))
        executor = comfy.patcher_extension.WrapperExecutor.new_class_executor(self._forward, self, wrappers)
        return executor.execute(x, timestep, *args, **kwargs)

    def _forward(
        self,
        x: list[Tensor],
        timestep: tuple[Tensor, Tensor],
        context: Tensor,
        transformer_options: dict | None = None,
        uniavgen: Pass | None = None,
        reference_image: Tensor | None = None,
        **masks: Any,
    ) -> list[Tensor]:
        """Predict velocities.

        Args:
            x: Noisy video (B, 48, T, H, W) and audio (B, 1, S, 80).
            timestep: Time of each latent, (B, T), and of each mel frame, (B, S).
            context: Caption features, (B, L, caption_dim).
            transformer_options: ComfyUI's options of this call.
            uniavgen: What this pass runs on.
            reference_image: Latent of the reference image, (B, 48, 1, H, W).
            masks: ``denoise_mask`` and ``audio_denoise_mask``, 1 where generated, shapes of ``x``.

        Returns:
            Velocities, shapes of ``x``.
        """
        video, audio = x
        run = uniavgen or Pass()
        options = dict(transformer_options or {})
        options[PREFETCH] = self._prefetch_queue(run, video.device, options)
        conditions = Conditions(
            caption=context,
            speech_ids=torch.tensor([run.speech_ids], device=video.device).expand(video.shape[0], -1),
            reference_image=reference_image,
            interaction=run.interaction,
            skipped_layer=run.skipped_layer,
        )
        kept = (_kept(masks.get("denoise_mask")), _kept(masks.get("audio_denoise_mask")))
        output = super().forward(video, audio[:, 0], timestep, conditions, kept, options)
        if options[PREFETCH] is not None:
            comfy.model_prefetch.prefetch_queue_pop(options[PREFETCH], video.device, None)
        return [output.video, output.audio.unsqueeze(1)]

    def run_layer(self, layer: int, state: JointState, interaction: Interaction, options: Any = None) -> JointState:
        """Run one layer, or what a patch puts in its place (``patches_replace["dit"][("double_block", layer)]``)."""
        comfy.model_prefetch.prefetch_queue_pop(options[PREFETCH], state.video.tokens.device, self._layer(layer))
        options["block_index"] = layer
        replacement = options.get("patches_replace", {}).get("dit", {}).get(("double_block", layer))
        if replacement is None:
            return super().run_layer(layer, state, interaction, options)
        after = state

        def original(args: dict) -> dict:
            nonlocal after
            given = _with_tokens(state, args["img"], args["audio"])
            after = JointModel.run_layer(self, layer, given, interaction, args["transformer_options"])
            return {"img": after.video.tokens, "audio": after.audio.tokens}

        args = {"img": state.video.tokens, "audio": state.audio.tokens, "transformer_options": options}
        result = replacement(args, {"original_block": original})
        return _with_tokens(after, result["img"], result["audio"])

    def _layer(self, layer: int) -> nn.ModuleList:
        """All weights that one layer needs, as one unit."""
        module = self.config.interaction_of(layer)
        crossing = [] if module is None else [self.a2v_blocks[module], self.v2a_blocks[module]]
        return nn.ModuleList([self.blocks[layer], self.audio_blocks[layer], *crossing])

    def _prefetch_queue(self, run: Pass, device: torch.device, options: dict) -> list | None:
        layers = [self._layer(i) for i in range(self.config.num_layers) if i != run.skipped_layer]
        return comfy.model_prefetch.make_prefetch_queue(layers, device, options)


def _with_tokens(state: JointState, video: Tensor, audio: Tensor) -> JointState:
    return replace(state, video=state.video.with_tokens(video), audio=state.audio.with_tokens(audio))


def _kept(mask: Tensor | None) -> Tensor | None:
    """Time steps that a denoise mask (B, C, T, ...) keeps whole, bool, (B, T)."""
    return None if mask is None else _time_mask(mask) == 0


def _time_mask(mask: Tensor) -> Tensor:
    """Largest value of a mask (B, C, T, ...) in each time step, (B, T)."""
    return mask.transpose(1, 2).flatten(2).amax(dim=2)


class UniAVGen(comfy.model_base.BaseModel):
    """Feeds the network from ComfyUI's conditionings and masks."""

    def __init__(self, model_config: Any, model_type: Any, device: torch.device | None = None) -> None:
        super().__init__(model_config, model_type, device=device, unet_model=HostJointModel)

    def extra_conds(self, **kwargs: Any) -> dict:
        """Collect what one conditioning brings to the network."""
        out = {
            "c_crossattn": comfy.conds.CONDRegular(kwargs["cross_attn"]),
            "uniavgen": comfy.conds.CONDConstant(pass_of(kwargs)),
        }
        shapes, mask = kwargs.get("latent_shapes"), kwargs.get("denoise_mask")
        if shapes is not None:
            out["latent_shapes"] = comfy.conds.CONDConstant(shapes)
            if mask is not None:
                video_mask, audio_mask = comfy.utils.unpack_latents(mask, shapes)
                out["denoise_mask"] = comfy.conds.CONDRegular(video_mask[:, :1])
                out["audio_denoise_mask"] = comfy.conds.CONDRegular(audio_mask[..., :1])
        image = kwargs.get(REFERENCE_IMAGE_KEY)
        if image is not None:
            out["reference_image"] = comfy.conds.CONDRegular(image)
        return out

    def process_timestep(self, timestep: Tensor, **conds: Any) -> tuple[Tensor, Tensor]:
        """Time of every latent, (B, T), and of every mel frame, (B, S): 0 where a mask keeps it.

        ComfyUI calls this before it unpacks the latents, so their shapes are read from ``conds``.
        """
        shapes = conds["latent_shapes"]
        masks = (conds.get("denoise_mask"), conds.get("audio_denoise_mask"))
        return tuple(
            timestep[:, None].expand(-1, shape[2]) if mask is None else timestep[:, None] * _time_mask(mask).float()
            for mask, shape in zip(masks, shapes, strict=True)
        )

    def scale_latent_inpaint(self, latent_image: Tensor, **_: Any) -> Tensor:
        """Kept parts enter the network clean, whatever the noise level."""
        return latent_image

    def map_context_window_to_modalities(self, primary: list[int], shapes: list, dim: int) -> list[list[int]]:
        """Mel frames that sound during a window of video latents."""
        mel_frames = shapes[1][dim]
        ratio = mel_frames / video_frames_of(shapes[0][dim])
        heard: dict[int, None] = {}
        for latent in primary:
            first, last = video_frames_of(latent) if latent else 0, video_frames_of(latent + 1)
            heard |= dict.fromkeys(range(round(first * ratio), min(round(last * ratio), mel_frames)))
        return [primary, list(heard)]

    def resize_cond_for_context_window(
        self, cond_key: str, cond_value: Any, window: Any, x_in: Tensor, device: Any, retain_index_list: Any = ()
    ) -> Any:
        """Cut the audio mask to the window's sound; the rest is left to ComfyUI."""
        del x_in, retain_index_list
        windows = getattr(window, "modality_windows", None)
        if cond_key == "audio_denoise_mask" and windows:
            return cond_value._copy_with(windows[1].get_tensor(cond_value.cond, device, dim=2))
        return cond_value if cond_key in ("reference_image", "c_crossattn") else None


class UniAVGenConfig(comfy.supported_models_base.BASE):
    """ComfyUI's description of the model."""

    unet_extra_config: dict = {}  # noqa: RUF012 - ComfyUI's class attribute
    sampling_settings = {"shift": 5.0, "multiplier": 1000}  # noqa: RUF012
    latent_format = JointLatentFormat
    memory_usage_factor = 0.03
    supported_inference_dtypes = [torch.bfloat16, torch.float16, torch.float32]  # noqa: RUF012

    def __init__(self, joint_config: ModelConfig) -> None:
        super().__init__({"image_model": KEY, "joint_config": joint_config})

    def model_type(self, state_dict: dict, prefix: str = "") -> Any:
        """Rectified flow."""
        del state_dict, prefix
        return comfy.model_base.ModelType.FLOW

    def get_model(self, state_dict: dict, prefix: str = "", device: torch.device | None = None) -> UniAVGen:
        """Build the model without weights."""
        return UniAVGen(self, self.model_type(state_dict, prefix), device=device)
