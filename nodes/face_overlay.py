"""Display of face masks: the model's predictions, and any mask over its images."""

import torch
from comfy_api.latest import io

from .host.conditioning.face_inputs import (
    RGB,
    masks_for_frames,
    pixels_of_face_masks,
    predicted_face_masks,
    resize_masks,
)
from .host.sampling.joint_latent import split
from .sockets import aliases, float_input, model_input

SEED = 0  # fixed seed of the noise, so that the same clip gives the same mask
COLORS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0), "white": (1, 1, 1)}


class ShowFaceMask(io.ComfyNode):
    """Shows the face mask that the model predicts."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenShowFaceMask",
            display_name="UniAVGen Show Face Mask",
            category="UniAVGen/faces",
            search_aliases=aliases("face mask, attention map, debug, 人脸遮罩"),
            description="The face mask that the model predicts for a clip: where video and audio interact.",
            inputs=[
                model_input(),
                io.Conditioning.Input("positive", tooltip="The conditioning the clip was sampled with."),
                io.Latent.Input("latent", tooltip="The sampled clip."),
                float_input(
                    "sigma",
                    default=0.3,
                    min=0.001,
                    max=1.0,
                    step=0.01,
                    tooltip="Noise level at which the mask is predicted; 1 is the start of sampling, near 0 its end.",
                ),
                io.Int.Input(
                    "layer",
                    default=0,
                    min=0,
                    max=100,
                    tooltip="Interaction module: 0 for the average of all, n for the n-th.",
                ),
            ],
            outputs=[io.Mask.Output(display_name="mask", tooltip="One mask per video frame.")],
        )

    @classmethod
    def execute(cls, model, positive, latent: dict, sigma: float, layer: int) -> io.NodeOutput:
        masks = predicted_face_masks(model, positive, latent, sigma, SEED)
        video, _ = split(latent)
        height, width = video.shape[-2:]
        if layer > masks.shape[1]:
            raise ValueError(f"layer is {layer}, but the model has {masks.shape[1]} interaction modules.")
        chosen = masks[:, layer - 1] if layer else masks.mean(dim=1)
        return io.NodeOutput(pixels_of_face_masks(chosen, (height, width)).cpu())


class MaskOverlay(io.ComfyNode):
    """Tints the images of a mask where it is white."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenMaskOverlay",
            display_name="UniAVGen Mask Overlay",
            category="UniAVGen/faces",
            search_aliases=aliases("mask preview, preview mask, overlay, mask to image, 遮罩预览"),
            description="Tints an image where a mask is white.",
            inputs=[
                io.Image.Input("image", tooltip="An image, or the frames of a video."),
                io.Mask.Input(
                    "mask", tooltip="One mask for all images, one per image, or one per latent frame; any size."
                ),
                io.Combo.Input("color", options=list(COLORS), tooltip="Color of the tint."),
                float_input(
                    "opacity",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Opacity of the tint; 1 hides the image.",
                ),
            ],
            outputs=[io.Image.Output(tooltip="The tinted images.")],
        )

    @classmethod
    def execute(cls, image, mask, color: str, opacity: float) -> io.NodeOutput:
        masks = resize_masks(mask, tuple(image.shape[1:3])).to(image.device)
        if len(image) == 1:
            image = image.expand(len(masks), -1, -1, -1)
        weights = masks_for_frames(masks, len(image))[..., None] * opacity
        rgb, alpha = image[..., :RGB], image[..., RGB:]
        tinted = rgb + weights * (torch.tensor(COLORS[color], device=image.device) - rgb)
        return io.NodeOutput(torch.cat([tinted, alpha], dim=-1))
