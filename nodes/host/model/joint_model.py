"""The network as a ComfyUI diffusion model.

ComfyUI passes a list of video and audio latents with a time for each token, and takes a list of velocities back.
Dimension key: B batch, K audio tracks, M interaction modules, T video latents, N tokens per latent, H and W latent rows
and columns, S mel frames, R mel frames of a reference voice.
"""

from typing import Any

import comfy.conds
import comfy.model_base
import comfy.supported_models_base
import comfy.utils
import torch
from torch import Tensor, nn

from ....uniavgen_core.checkpoint.own_sampling import OwnSampling
from ....uniavgen_core.checkpoint.trained_on import TrainedOn
from ....uniavgen_core.config import Interaction, ModelConfig
from ....uniavgen_core.diffusion.schedule import TIMESTEPS
from ....uniavgen_core.model.face_mask import FaceSteering
from ....uniavgen_core.model.joint import Conditions, JointModel, JointState
from ....uniavgen_core.shapes import video_frames_of
from ..conditioning.known_words import KnownText
from ..conditioning.pass_settings import (
    FACE_MASK_KEY,
    KEY,
    REFERENCE_IMAGE_KEY,
    REFERENCE_VOICE_KEY,
    REGIONS_KEY,
    PassSettings,
    pass_settings_of,
)
from ..conditioning.speech_fields import speech_fields
from ..sampling.joint_latent import JointLatentFormat
from .hosted_network import HostedNetwork

ON_FACE_MASKS = "uniavgen_on_face_masks"
"""Option of a call: a function that receives the predicted face masks (B, M, T, N) and the size of the token grid."""
REFERENCES = {
    "reference_image": REFERENCE_IMAGE_KEY,
    "reference_voice": REFERENCE_VOICE_KEY,
    "face_mask": FACE_MASK_KEY,
}


class HostJointModel(HostedNetwork, JointModel):
    """The joint network, run layer by layer under ComfyUI's wrappers, patches and weight prefetching."""

    def _forward(
        self,
        x: list[Tensor],
        timestep: tuple[Tensor, Tensor],
        context: Tensor,
        transformer_options: dict | None = None,
        uniavgen: PassSettings | None = None,
        reference_image: Tensor | None = None,
        **others: Any,
    ) -> list[Tensor]:
        """Predict velocities.

        Args:
            x: Noisy video (B, 48, T, H, W) and audio (B, K, S, 80).
            timestep: Time of each latent, (B, T), or latent pixel, (B, T, H, W), and of each mel frame, (B * K, S).
            context: Caption features, (B, L, caption_dim).
            transformer_options: ComfyUI's options of this call.
            uniavgen: Speech, interaction and steering of this pass.
            reference_image: Latent of the reference image, (B, 48, 1, H, W).
            others: ``denoise_mask`` (B, 1, T, H, W) or (B, 1, T, 1, 1) and ``audio_denoise_mask`` (B, K, S, 1), 1 where
                generated;
                ``reference_voice`` (B, K, R, 80); ``face_mask`` (B, K, T, H, W).

        Returns:
            Velocities, shapes of ``x``.
        """
        video, audio = x
        run = uniavgen or PassSettings()
        options = self._begin(transformer_options, run.skip_layer, video.device)
        voice = others.get("reference_voice")
        voice_frames = 0 if voice is None else voice.shape[2]
        conditions = Conditions(
            caption=context,
            **speech_fields(run, self.config.text, voice_frames, video.shape[0], video.device),
            reference_image=reference_image,
            reference_audio=None if voice is None else voice.flatten(0, 1),
            interaction=run.interaction,
            skip_layer=run.skip_layer,
            steering=_steering(run, others.get("face_mask"), timestep),
        )
        keep_masks = (_keep_mask(others.get("denoise_mask")), _keep_mask(others.get("audio_denoise_mask")))
        output = JointModel.forward(self, video, audio.flatten(0, 1), timestep, conditions, keep_masks, options)
        self._end(options, video.device)
        if ON_FACE_MASKS in options:
            size = self.config.patch_size
            options[ON_FACE_MASKS](output.face_masks, (video.shape[3] // size, video.shape[4] // size))
        return [output.video, output.audio.unflatten(0, audio.shape[:2])]

    def run_layer(self, layer: int, state: JointState, interaction: Interaction, options: Any = None) -> JointState:
        """Run one layer, or a patch in its place."""
        replacement = self._enter(layer, options, state.video.tokens.device)
        if replacement is None:
            return super().run_layer(layer, state, interaction, options)
        after = state

        def original(args: dict) -> dict:
            nonlocal after
            patched = state.with_tokens(args["img"], args["audio"])
            after = JointModel.run_layer(self, layer, patched, interaction, args["transformer_options"])
            return {"img": after.video.tokens, "audio": after.audio.tokens}

        args = {"img": state.video.tokens, "audio": state.audio.tokens, "transformer_options": options}
        result = replacement(args, {"original_block": original})
        return after.with_tokens(result["img"], result["audio"])

    def _layer(self, layer: int) -> nn.ModuleList:
        """All weights that one layer needs, as one unit."""
        module = self.config.interaction_of(layer)
        crossing = [] if module is None else [self.a2v_blocks[module], self.v2a_blocks[module]]
        return nn.ModuleList([self.blocks[layer], self.audio_blocks[layer], *crossing])


def _steering(run: PassSettings, mask: Tensor | None, timestep: tuple[Tensor, Tensor]) -> FaceSteering | None:
    """The user's face masks, if there are any for this noise level."""
    if mask is None:
        return None
    sigma = max(float(times.max()) for times in timestep) / TIMESTEPS
    steering = run.steering
    within = steering.stop <= sigma <= steering.start
    return FaceSteering(mask, steering.mode, steering.strength) if within else None


def _keep_mask(mask: Tensor | None) -> Tensor | None:
    """True where a denoise mask keeps; shapes of ``over_tracks``."""
    return None if mask is None else over_tracks(mask) == 0


def over_tracks(mask: Tensor) -> Tensor:
    """Mask (B, K, T, ...) of each track: over time steps, (B * K, T), or over latent pixels, (B * K, T, H, W)."""
    mask = mask.flatten(0, 1)
    return mask.flatten(2)[..., 0] if mask[0, 0].numel() == 1 else mask


def time_mask(mask: Tensor) -> Tensor:
    """Largest value of a mask (B, K, T, ...) in each time step of each track, (B * K, T)."""
    return mask.flatten(3).amax(dim=3).flatten(0, 1)


class UniAVGen(comfy.model_base.BaseModel):
    """Feeds the network from ComfyUI's conditionings and masks.

    Attributes:
        has_video: Whether there is a video branch.
        has_audio: Whether there is an audio branch.
        title: Name of the model in messages.
        known_text: Texts that it can say, where it knows few; None for any text.
    """

    network = HostJointModel
    has_video = has_audio = True
    title = "the joint model"
    known_text: KnownText | None = None

    def __init__(self, model_config: Any, model_type: Any, device: torch.device | None = None) -> None:
        super().__init__(model_config, model_type, device=device, unet_model=self.network)

    def extra_conds(self, **kwargs: Any) -> dict:
        """Inputs of the network from one conditioning."""
        out = {
            "c_crossattn": comfy.conds.CONDRegular(kwargs["cross_attn"]),
            "uniavgen": comfy.conds.CONDConstant(pass_settings_of(kwargs)),
        }
        shapes, mask = kwargs.get("latent_shapes") or (), kwargs.get("denoise_mask")
        if len(shapes) > 1:
            out["latent_shapes"] = comfy.conds.CONDConstant(shapes)
            if mask is not None:
                video_mask, audio_mask = comfy.utils.unpack_latents(mask, shapes)
                out["denoise_mask"] = comfy.conds.CONDRegular(
                    video_mask[:, :1] if kwargs.get(REGIONS_KEY) else video_mask[:, :1].amax((3, 4), keepdim=True)
                )
                out["audio_denoise_mask"] = comfy.conds.CONDRegular(audio_mask[..., :1])
        for name, key in REFERENCES.items():
            if kwargs.get(key) is not None:
                out[name] = comfy.conds.CONDRegular(kwargs[key])
        return out

    def process_timestep(self, timestep: Tensor, **conds: Any) -> tuple[Tensor, Tensor]:
        """Time of every latent, (B, T), or latent pixel, and of every mel frame, (B * K, S): 0 where a mask keeps it.

        ComfyUI calls this before it unpacks the latents, so their shapes are read from ``conds``.
        """
        shapes = conds["latent_shapes"]
        masks = (conds.get("denoise_mask"), conds.get("audio_denoise_mask"))
        times = []
        for mask, shape, tracks in zip(masks, shapes, (1, shapes[1][1]), strict=True):
            each = timestep.repeat_interleave(tracks)[:, None]
            weights = each.new_ones(1, shape[2]) if mask is None else over_tracks(mask).float()
            times.append(each.view(-1, *[1] * (weights.ndim - 1)) * weights)
        return tuple(times)

    def scale_latent_inpaint(self, latent_image: Tensor, *_: Any, **__: Any) -> Tensor:
        """Kept parts enter the network clean, whatever the noise level."""
        return latent_image

    def map_context_window_to_modalities(self, primary: list[int], shapes: list, dim: int) -> list[list[int]]:
        """Mel frames of the time that a window of video latents covers."""
        mel_frames = shapes[1][dim]
        ratio = mel_frames / video_frames_of(shapes[0][dim])
        frames: dict[int, None] = {}
        for latent in primary:
            first, last = video_frames_of(latent) if latent else 0, video_frames_of(latent + 1)
            frames |= dict.fromkeys(range(round(first * ratio), min(round(last * ratio), mel_frames)))
        return [primary, list(frames)]

    def resize_cond_for_context_window(
        self, cond_key: str, cond_value: Any, window: Any, x_in: Tensor, device: Any, retain_index_list: Any = ()
    ) -> Any:
        """Cut the audio mask to the window's mel frames, and face masks to its latents; ComfyUI cuts the rest."""
        del x_in, retain_index_list
        windows = getattr(window, "modality_windows", None)
        if cond_key == "audio_denoise_mask" and windows:
            return cond_value._copy_with(windows[1].get_tensor(cond_value.cond, device, dim=2))
        if cond_key == "face_mask":
            return cond_value._copy_with(window.get_tensor(cond_value.cond, device, dim=2))
        return cond_value if cond_key in ("reference_image", "reference_voice", "c_crossattn") else None


class UniAVGenConfig(comfy.supported_models_base.BASE):
    """ComfyUI's description of the model."""

    unet_extra_config: dict = {}  # noqa: RUF012 - ComfyUI's class attribute
    sampling_settings = {"shift": 5.0, "multiplier": 1000}  # noqa: RUF012
    latent_format = JointLatentFormat
    model = UniAVGen
    memory_usage_factor = 0.016  # traced activations and a tenth: dev.py bench memory of the repository
    supported_inference_dtypes = [torch.bfloat16, torch.float16, torch.float32]  # noqa: RUF012

    clips: TrainedOn | None = None
    """Clips that the model was trained on; None where they are not known."""
    own_sampling: OwnSampling | None = None
    """Sampling that suits the model; None where its file does not say."""

    def __init__(self, network_config: ModelConfig) -> None:
        super().__init__({"image_model": KEY, "network_config": network_config})

    def model_type(self, state_dict: dict, prefix: str = "") -> Any:
        """Rectified flow."""
        del state_dict, prefix
        return comfy.model_base.ModelType.FLOW

    def get_model(self, state_dict: dict, prefix: str = "", device: torch.device | None = None) -> UniAVGen:
        """Build the model without weights."""
        return self.model(self, self.model_type(state_dict, prefix), device=device)
