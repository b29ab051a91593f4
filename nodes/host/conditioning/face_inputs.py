"""Faces in ComfyUI's formats: bounding boxes, landmarks and masks, and the face masks that a UniAVGen model predicts.

Dimension key: F video frames, H rows, W columns, B batch, T latent frames, M interaction modules.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import comfy.model_patcher
import comfy.sample
import comfy.samplers
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ....uniavgen_core.media.faces.face_masks import faces_in_masks
from ....uniavgen_core.media.faces.face_tracks import Face
from ....uniavgen_core.shapes import SPATIAL_FACTOR, TEMPORAL_FACTOR, latent_frames_of
from ..model.joint_model import ON_FACE_MASKS
from ..model.load_model import require_both_branches
from ..model.training_range import without_notices
from ..notices import interruptible_progress
from ..sampling.guided_sampling import OUTER_SAMPLE, WRAPPER
from ..sampling.joint_latent import split

RGB = 3
FacesPerFrame = list[list[Face]]


def rgb_pictures(images: Tensor) -> Tensor:
    """RGB channels (F, H, W, 3) of images (F, H, W, C); grey is repeated, an alpha channel is dropped.

    Raises:
        ValueError: If the shape is not that of images.
    """
    if images.ndim != 4 or images.numel() == 0 or images.shape[-1] == 2:
        raise ValueError(f"The images have the shape {tuple(images.shape)}; expected (frames, height, width, RGB).")
    return images[..., :RGB] if images.shape[-1] >= RGB else images[..., :1].expand(-1, -1, -1, RGB)


def find_faces_in_images(images: Tensor, find: Callable[[np.ndarray], list[Face]]) -> FacesPerFrame:
    """Find the faces in every image (F, H, W, 3), with a progress bar; the user can interrupt it."""
    step, frames = interruptible_progress(len(images)), []
    for image in images:
        frames.append(find(_to_uint8(image)))
        step()
    return frames


def find_faces_with_mediapipe(images: Tensor, model: Any, confidence: float, reach: str) -> FacesPerFrame:
    """Find the faces in every image (F, H, W, 3) with a model from 'Load Face Detection Model (MediaPipe)'.

    Args:
        images: RGB in [0, 1].
        model: ComfyUI's FACE_DETECTION_MODEL.
        confidence: Lowest confidence of a face, in [0, 1].
        reach: MediaPipe's detector range: "short" for faces near the camera, "full" for smaller ones too.
    """
    return find_faces_in_images(
        images, lambda picture: _read_faces(model.detect_batch([picture], 0, confidence, reach)[0])
    )


def _to_uint8(image: Tensor) -> np.ndarray:
    return (torch.nan_to_num(image.float()).clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def faces_of_landmarks(landmarks: dict, num_frames: int, size: tuple[int, int]) -> FacesPerFrame:
    """Faces of ComfyUI's FACE_LANDMARKS for ``num_frames`` images of size (H, W).

    Raises:
        ValueError: If the landmarks belong to another number of images.
    """
    height, width = landmarks["image_size"]
    scale = np.array([size[1] / width, size[0] / height], np.float32)
    frames = [_read_faces(faces, scale) for faces in landmarks["frames"]]
    return _repeat_for_frames(frames, num_frames, "face landmarks")


def _read_faces(faces: Sequence[dict], scale: np.ndarray | float = 1.0) -> list[Face]:
    """Faces from MediaPipe's dictionaries."""
    return [
        Face(
            (np.asarray(face["bbox_xyxy"], np.float32).reshape(2, 2) * scale).astype(np.float32).reshape(-1),
            (np.asarray(face["landmarks_xy"], np.float32) * scale).astype(np.float32),
            float(face["score"]),
        )
        for face in faces
    ]


def faces_of_boxes(boxes: Any, num_frames: int) -> FacesPerFrame:
    """Faces of ComfyUI's BOUNDING_BOX in any of its forms: one box, the boxes of all frames, or a list per frame.

    Raises:
        ValueError: If the boxes belong to another number of images.
    """
    if isinstance(boxes, dict):
        boxes = [boxes]
    per_frame = boxes if boxes and isinstance(boxes[0], list) else [boxes]
    frames = [[_read_box(box) for box in frame if box["width"] > 0 and box["height"] > 0] for frame in per_frame]
    return _repeat_for_frames(frames, num_frames, "bounding boxes")


def _read_box(box: dict) -> Face:
    left, top = box["x"], box["y"]
    corners = np.array([left, top, left + box["width"], top + box["height"]], np.float32)
    return Face(corners, score=float(box.get("score", 1.0)))


def faces_of_masks(masks: Tensor, num_frames: int, size: tuple[int, int]) -> FacesPerFrame:
    """Faces of a MASK (F, h, w), which is resized to the images' size (H, W); every connected part is one face.

    Several masks for a single image are several faces of it.

    Raises:
        ValueError: If the masks belong to another number of images.
    """
    parts = faces_in_masks(resize_masks(masks, size).cpu().numpy())
    frames = [list(chain.from_iterable(parts))] if num_frames == 1 else parts
    return _repeat_for_frames(frames, num_frames, "masks")


def _repeat_for_frames(frames: FacesPerFrame, num_frames: int, name: str) -> FacesPerFrame:
    if len(frames) not in (1, num_frames):
        raise ValueError(
            f"The {name} belong to {len(frames)} images, but there are {num_frames}. Make them from the same images, "
            "or give those of one image for all."
        )
    return frames if len(frames) == num_frames else frames * num_frames


def boxes_of(tracks: Sequence[Sequence[Face | None]], num_frames: int) -> list[list[dict]]:
    """Tracks of faces as ComfyUI's BOUNDING_BOX: a list of boxes for every frame."""
    return [[_box_of(face) for track in tracks if (face := track[index]) is not None] for index in range(num_frames)]


def _box_of(face: Face) -> dict:
    left, top, right, bottom = (float(value) for value in face.box)
    size = {"width": right - left, "height": bottom - top}
    return {"x": left, "y": top, **size, "label": "face", "score": face.score}


def resize_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a MASK (F, h, w) or (h, w) to (F, H, W), float32 in [0, 1]."""
    masks = masks.float().reshape(-1, *masks.shape[-2:])
    if masks.shape[-2:] != size:
        masks = F.interpolate(masks[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    return masks.clamp(0, 1)


def masks_for_frames(masks: Tensor, num_frames: int) -> Tensor:
    """Expand masks to one (H, W) for every video frame, from one for all, one a video frame, or one a latent frame.

    Raises:
        ValueError: If the number of masks is none of these.
    """
    if len(masks) == num_frames:
        return masks
    if len(masks) == 1:
        return masks.expand(num_frames, -1, -1)
    if len(masks) == latent_frames_of(num_frames):
        return _repeat_over_video_frames(masks)[:num_frames]
    raise ValueError(
        f"There are {len(masks)} masks for {num_frames} images. Give one mask, one for every image, or one for every "
        f"latent frame ({latent_frames_of(num_frames)})."
    )


def _repeat_over_video_frames(masks: Tensor) -> Tensor:
    """Repeat masks of latent frames (T, H, W) for the video frames of each, (4T - 3, H, W)."""
    return torch.cat([masks[:1], masks[1:].repeat_interleave(TEMPORAL_FACTOR, dim=0)])


def predicted_face_masks(
    model: comfy.model_patcher.ModelPatcher, positive: list, latent: dict, sigma: float, seed: int
) -> Tensor:
    """Predict the face masks of a clip with one step of a UniAVGen model.

    Args:
        model: MODEL. Its guidance is ignored, because only the conditional pass matters.
        positive: CONDITIONING, of which the first entry is used.
        latent: Sampled joint LATENT.
        sigma: Noise level of the step; noise is added to the latent up to it.
        seed: Seed of that noise.

    Returns:
        Predicted face weight of every video token by each interaction module, (B, M, T, rows, columns) float32.

    Raises:
        ValueError: If the MODEL is not the joint one of UniAVGen, or the latent not a joint one.
    """
    require_both_branches(model, "UniAVGen Show Face Mask")
    split(latent)
    calls = []
    patched = without_notices(model)
    patched.remove_wrappers_with_key(OUTER_SAMPLE, WRAPPER)
    patched.model_options["transformer_options"][ON_FACE_MASKS] = lambda *call: calls.append(call)
    guider = comfy.samplers.CFGGuider(patched)
    guider.inner_set_conds({"positive": positive[:1]})
    guider.sample(
        comfy.sample.prepare_noise(latent["samples"], seed, latent.get("batch_index")),
        latent["samples"],
        comfy.samplers.sampler_object("euler"),
        torch.tensor([sigma, 0.0]),
        denoise_mask=latent.get("noise_mask"),
        disable_pbar=True,
        seed=seed,
    )
    masks = torch.cat([masks for masks, _ in calls])
    return rearrange(masks, "b m t (h w) -> b m t h w", h=calls[0][1][0]).float()


def pixels_of_face_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """MASK (B * F, H, W) from face weights of tokens (B, T, rows, columns).

    Args:
        masks: Face weights.
        size: Rows and columns of the video latent.
    """
    pixels = (size[0] * SPATIAL_FACTOR, size[1] * SPATIAL_FACTOR)
    return torch.cat([_repeat_over_video_frames(resize_masks(clip, pixels)) for clip in masks])
