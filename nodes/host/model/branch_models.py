"""One branch of the network alone, as a MODEL: video without audio, or audio without video.

The branch generates its own part of a joint latent. The other part rests: audio is silent, video stays as it was given.
Dimension key: B batch, K audio tracks, C channels, T video latents, H and W latent rows and columns, S mel frames.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import comfy.conds
import comfy.ldm.common_dit
import comfy.utils
import torch
from torch import Tensor, nn

from ....uniavgen_core.config import ModelConfig
from ....uniavgen_core.model.audio_branch import AudioModel
from ....uniavgen_core.model.branch import Stream
from ....uniavgen_core.model.conditions import Conditions
from ....uniavgen_core.model.video_branch import VideoModel
from ..conditioning.pass_settings import PassSettings
from ..conditioning.speech_fields import speech_fields
from ..conditioning.track_masks import silence
from ..sampling.joint_latent import VideoLatentFormat
from .hosted_network import HostedNetwork
from .joint_model import UniAVGen, UniAVGenConfig, time_mask

VIDEO, AUDIO = 0, 1
"""Places of the parts of a joint latent."""


class HostedBranch(HostedNetwork):
    """A network of one stream, run layer by layer; stands before the core's network among a class's bases.

    Attributes:
        stream_name: Name of the stream in patches of a layer.
    """

    stream_name = "img"

    def run_layer(self, layer: int, stream: Stream, options: Any = None) -> Stream:
        """Run one layer, or a patch in its place, which gets the arguments of a patch of ComfyUI's Wan."""
        replacement = self._enter(layer, options, stream.tokens.device)
        run: Any = getattr(super(), "run_layer")  # noqa: B009 - the core's network is the next base
        if replacement is None:
            return run(layer, stream, options)

        def original(args: dict) -> dict:
            patched = replace(
                stream, tokens=args[self.stream_name], text=args["txt"], modulation=args["vec"], rope=args["pe"]
            )
            return {self.stream_name: run(layer, patched, args["transformer_options"]).tokens}

        args = {self.stream_name: stream.tokens, "txt": stream.text, "vec": stream.modulation, "pe": stream.rope}
        result = replacement({**args, "transformer_options": options}, {"original_block": original})
        return stream.with_tokens(result[self.stream_name])


class HostVideoModel(HostedBranch, VideoModel):
    """The video branch under ComfyUI; its weights have Wan's names, so that Wan's LoRAs fit."""

    def _forward(
        self,
        x: Tensor,
        timestep: Tensor,
        context: Tensor,
        transformer_options: dict | None = None,
        uniavgen: PassSettings | None = None,
        reference_image: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        """Predict the velocity of noisy latents (B, 48, T, H, W) of times (B, T); see ``HostJointModel._forward``."""
        run, (height, width) = uniavgen or PassSettings(), x.shape[-2:]
        options = self._begin(transformer_options, run.skip_layer, x.device)
        conditions = Conditions(context, None, reference_image=reference_image, skip_layer=run.skip_layer)
        size = self.config.patch_size
        whole = comfy.ldm.common_dit.pad_to_patch_size(x, (1, size, size))
        velocity = VideoModel.forward(self, whole, timestep, conditions, options)
        self._end(options, x.device)
        return velocity[..., :height, :width]

    def _layer(self, layer: int) -> nn.Module:
        return self.blocks[layer]


class HostAudioModel(HostedBranch, AudioModel):
    """The audio branch under ComfyUI."""

    stream_name = "audio"

    def _forward(
        self,
        x: Tensor,
        timestep: Tensor,
        context: Tensor,
        transformer_options: dict | None = None,
        uniavgen: PassSettings | None = None,
        reference_voice: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        """Predict the velocity of noisy mel (B, K, S, 80) of times (B * K, S); see ``HostJointModel._forward``."""
        del context
        run, voice = uniavgen or PassSettings(), reference_voice
        options = self._begin(transformer_options, run.skip_layer, x.device)
        conditions = Conditions(
            caption=None,
            **speech_fields(run, self.config.text, 0 if voice is None else voice.shape[2], x.shape[0], x.device),
            reference_audio=None if voice is None else voice.flatten(0, 1),
            skip_layer=run.skip_layer,
        )
        velocity = AudioModel.forward(self, x.flatten(0, 1), timestep, conditions, options)
        self._end(options, x.device)
        return velocity.unflatten(0, x.shape[:2])

    def _layer(self, layer: int) -> nn.Module:
        return self.audio_blocks[layer]


class BranchAlone(UniAVGen):
    """Samples one part of a joint latent by a branch, and lets the other rest.

    Attributes:
        made: Index of the part that the branch generates.
    """

    made: int
    _rest: Callable[..., Tensor]

    def _apply_model(self, x: Tensor, t: Tensor, *args: Any, **conds: Any) -> Tensor:
        """Estimate the clean latent; of the part that rests it is its resting value, so that sampling ends there."""
        apply_model: Any = super()._apply_model
        shapes, still = conds.pop("latent_shapes", None), conds.pop("still", None)
        if shapes is None:
            return apply_model(x, t, *args, **conds)
        parts = comfy.utils.unpack_latents(x, shapes)
        parts[self.made] = apply_model(parts[self.made], t, *args, **conds)
        parts[1 - self.made] = self._rest(parts[1 - self.made], still)
        return comfy.utils.pack_latents(parts)[0]


class VideoAlone(BranchAlone):
    """The video branch: plain video latents as ComfyUI's own Wan2.2-TI2V-5B has them, or joint ones."""

    network, made, has_audio = HostVideoModel, VIDEO, False
    title = "the video branch alone (Wan2.2-TI2V-5B)"

    def extra_conds(self, **kwargs: Any) -> dict:
        """Inputs of the network from one conditioning; Wan's own knows no reference image."""
        out, mask = super().extra_conds(**kwargs), kwargs.get("denoise_mask")
        if "latent_shapes" not in out and mask is not None:
            out["denoise_mask"] = comfy.conds.CONDRegular(mask[:, :1])
        if not self.model_config.knows_reference:
            out.pop("reference_image", None)
        return out

    def process_timestep(  # pyright: ignore[reportIncompatibleMethodOverride] - one modality, as in ComfyUI's Wan
        self, timestep: Tensor, x: Tensor, denoise_mask: Tensor | None = None, **_: Any
    ) -> Tensor:
        """Time of every latent, (B, T): its mean where the latent is kept in part, as in ComfyUI's Wan."""
        times = timestep[:, None].expand(-1, x.shape[2])
        return times if denoise_mask is None else times * denoise_mask.mean(dim=(1, 3, 4))

    def _rest(self, audio: Tensor, _: None) -> Tensor:
        """Silence."""
        return silence(1).to(audio).expand_as(audio)

    def memory_required(self, input_shape: list[int], cond_shapes: dict | None = None) -> float:
        """Bytes of a pass; a plain latent takes as many as one packed into a row."""
        packed = [input_shape[0], 1, torch.Size(input_shape[1:]).numel()]
        return super().memory_required(packed, cond_shapes or {})


class AudioAlone(BranchAlone):
    """The audio branch: the audio of joint latents."""

    network, made, has_video = HostAudioModel, AUDIO, False
    title = "the audio branch alone"

    def extra_conds(self, **kwargs: Any) -> dict:
        """Inputs of the network from one conditioning, and the still picture that the video rests at."""
        out, mask = super().extra_conds(**kwargs), kwargs.get("denoise_mask")
        if mask is not None:
            video = comfy.utils.unpack_latents(kwargs["latent_image"], kwargs["latent_shapes"])[VIDEO]
            out["still"] = comfy.conds.CONDRegular(last_kept(video, time_mask(out["denoise_mask"].cond) == 0))
        return out

    def process_timestep(  # pyright: ignore[reportIncompatibleMethodOverride] - one modality
        self, timestep: Tensor, x: Tensor, audio_denoise_mask: Tensor | None = None, **_: Any
    ) -> Tensor:
        """Time of every mel frame, (B * K, S): 0 where a mask keeps it."""
        times = timestep.repeat_interleave(x.shape[1])[:, None]
        mask = audio_denoise_mask
        return times.expand(-1, x.shape[2]) if mask is None else times * time_mask(mask).float()

    def _rest(self, video: Tensor, still: Tensor | None) -> Tensor:
        """The still picture of the user's own, or zeros without one."""
        return torch.zeros_like(video) if still is None else still.to(video)

    def resize_cond_for_context_window(self, cond_key: str, cond_value: Any, window: Any, *args: Any, **kw: Any) -> Any:
        """Cut the still to the window's latents; see ``UniAVGen``."""
        if cond_key == "still":
            return cond_value._copy_with(window.get_tensor(cond_value.cond, dim=2))
        return super().resize_cond_for_context_window(cond_key, cond_value, window, *args, **kw)


def last_kept(video: Tensor, keep_mask: Tensor) -> Tensor:
    """The last kept latent up to each latent; zeros before the first kept one.

    Args:
        video: Latents, (B, C, T, H, W).
        keep_mask: True for kept latents, bool, (B, T).
    """
    places = torch.where(keep_mask, torch.arange(video.shape[2], device=video.device), -1).cummax(dim=1).values
    places = places[:, None, :, None, None]
    still = video.gather(2, places.clamp_min(0).expand_as(video))
    return torch.where(places >= 0, still, 0.0)


class VideoAloneConfig(UniAVGenConfig):
    """ComfyUI's description of the video branch, as close to its own of Wan2.2-TI2V-5B as possible.

    Attributes:
        knows_reference: Whether a reference image stands before the clip, as the joint network was trained.
    """

    sampling_settings = {"shift": 8.0, "multiplier": 1000}  # noqa: RUF012
    latent_format = VideoLatentFormat
    model = VideoAlone
    supported_inference_dtypes = [torch.float16, torch.bfloat16, torch.float32]  # noqa: RUF012

    def __init__(self, network_config: ModelConfig, knows_reference: bool) -> None:
        super().__init__(network_config)
        self.knows_reference = knows_reference


class AudioAloneConfig(UniAVGenConfig):
    """ComfyUI's description of the audio branch."""

    model = AudioAlone
    memory_usage_factor = UniAVGenConfig.memory_usage_factor / 16  # most of a joint latent is its picture, which rests
