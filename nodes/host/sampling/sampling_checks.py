"""Checks of latent and conditionings before every sampling run, with error messages for the user."""

from typing import Any

import torch
from torch import Tensor

from ....uniavgen_core.config import TextConfig
from ....uniavgen_core.shapes import MEL_RATE
from ....uniavgen_core.text.speech_tensors import cached_speech_ids
from ..conditioning.known_words import NO_TRANSCRIPT, unknown_words_notice, without_long_voice_texts
from ..conditioning.pass_settings import (
    FACE_MASK_KEY,
    KEY,
    REFERENCE_IMAGE_KEY,
    REFERENCE_VOICE_KEY,
    Speech,
    pass_settings_of,
)
from ..conditioning.track_masks import unpacked_mask
from ..model.training_range import notices_before_sampling
from ..notices import announce
from .joint_latent import shapes_error
from .regions import prepare_regions

FASTEST_CHARACTERS_PER_SECOND = 30


def check_sampling(
    execute: Any, noise: Tensor, latent: Tensor, sampler: Any, sigmas: Tensor, mask: Tensor | None, *args, **kw
) -> Tensor:
    """Check latent and conditionings, then sample; a wrapper of ComfyUI's OUTER_SAMPLE type.

    Raises:
        ValueError: If the model cannot sample them; says what to do.
    """
    shapes = [tuple(shape) for shape in kw.get("latent_shapes") or [noise.shape]]
    model = execute.class_obj.model_patcher.model
    error = shapes_error(shapes, plain_too=not model.has_audio)
    if error:
        raise ValueError(error)
    speaks = len(shapes) > 1 and model.has_audio and bool((unpacked_mask(mask, noise, shapes)[1] > 0).any())
    if model.has_audio:
        execute.class_obj.conds = _with_known_texts(execute.class_obj.conds, model, speaks)
    conditionings = [entry for entries in execute.class_obj.conds.values() for entry in entries or ()]
    for conditioning in conditionings:
        _check_conditioning(conditioning, shapes, model, speaks)
    for notice in (*_branch_notices(model, shapes), *notices_before_sampling(execute.class_obj, shapes, mask)):
        announce(notice)
    if len(shapes) > 1 and model.has_video and mask is not None:
        mask = prepare_regions(execute.class_obj, noise, latent, mask, shapes)
    return execute(noise, latent, sampler, sigmas, mask, *args, **kw)


def _branch_notices(model: Any, shapes: list[tuple[int, ...]]) -> list[str]:
    """Notices about a part that is not sampled, and about clips that previews do not show."""
    notices = []
    if len(shapes) > 1 and not (model.has_video and model.has_audio):
        other = "the video stays a still image, or empty" if model.has_audio else "the audio is silent"
        notices.append(f"This MODEL is {model.title}: {other}.")
    if shapes[0][0] > 1:
        notices.append(f"{shapes[0][0]} clips are sampled at once; previews show the first of them.")
    return notices


def _with_known_texts(conds: dict, model: Any, speaks: bool) -> dict:
    """Drop texts that are too long for the model, and send notices about unknown or missing text."""
    checked = {name: without_long_voice_texts(model.known_text, entries or ()) for name, entries in conds.items()}
    positive = conds.get("positive") or ()
    notices = [unknown_words_notice(model.known_text, positive), *(notice for _, notice in checked.values())]
    if speaks and positive and not any(pass_settings_of(entry).has_speech for entry in positive):
        notices.append(NO_TRANSCRIPT)
    for notice in filter(None, notices):
        announce(notice)
    return {name: entries for name, (entries, _) in checked.items()}


def _check_conditioning(conditioning: dict, shapes: list[tuple[int, ...]], model: Any, speaks: bool) -> None:
    _check_branch(conditioning, model)
    if len(shapes) > 1 and ("area" in conditioning or "mask" in conditioning):
        raise ValueError(
            "This conditioning is limited to an area or a mask of the image, which UniAVGen cannot use: its latent is "
            "video and audio in one. Remove the 'Conditioning (Set Area)' or 'Conditioning (Set Mask)' node."
        )
    text = model.diffusion_model.config.text
    if model.has_video:
        _check_picture(conditioning, shapes, text)
    if model.has_audio:
        for speech in pass_settings_of(conditioning).speeches if speaks else ():
            check_transcript_length(speech, shapes[1][2], text)
        _check_tracks(conditioning, shapes)


def _check_branch(conditioning: dict, model: Any) -> None:
    """Refuse conditionings that would have no effect on the video branch alone."""
    needs_audio = {
        FACE_MASK_KEY: "A face mask ('UniAVGen Steer Face', 'UniAVGen Speakers')",
        REFERENCE_VOICE_KEY: "A reference voice ('UniAVGen Reference Voice', 'UniAVGen Task')",
    }
    for key, name in needs_audio.items():
        if conditioning.get(key) is not None and not model.has_audio:
            raise ValueError(
                f"{name} has no effect here: this MODEL is {model.title}. Remove it, or choose the joint model in "
                "'UniAVGen Load Model'."
            )


def _check_picture(conditioning: dict, shapes: list[tuple[int, ...]], text: TextConfig) -> None:
    """Refuse a caption from another text encoder, and a reference image of another size than the latent."""
    width = conditioning["cross_attn"].shape[-1]
    if width != text.caption_dim:
        raise ValueError(
            f"The caption was encoded with {width} features per token, but this model reads {text.caption_dim}. Load "
            "the text encoder that belongs to it with 'UniAVGen Load Text Encoder' (umT5-xxl for the official "
            "weights)."
        )
    image = conditioning.get(REFERENCE_IMAGE_KEY)
    if image is not None and image.shape[-2:] != torch.Size(shapes[0][-2:]):
        height, width = (16 * side for side in image.shape[-2:])
        raise ValueError(
            f"The reference image was encoded at {width}x{height}, but the latent is "
            f"{16 * shapes[0][-1]}x{16 * shapes[0][-2]}. Feed the same latent to 'UniAVGen Reference Image' and to the "
            "sampler."
        )


def check_transcript_length(speech: Speech, mel_frames: int, text: TextConfig) -> None:
    """Refuse a transcript that is too long for the clip."""
    if speech.text is None:
        return
    left = mel_frames - round(MEL_RATE * speech.start)
    characters, longest = len(cached_speech_ids(speech.text)), left * FASTEST_CHARACTERS_PER_SECOND // MEL_RATE
    if not text.places_words:
        longest = int((left + MEL_RATE * text.position_margin - text.position_offset) / text.position_scale)
    if characters > longest:
        raise ValueError(
            f"The transcript has {characters} characters, but {left / MEL_RATE:.1f} seconds can hold about "
            f"{max(0, longest)}. Shorten it, or make the clip longer."
        )


def _check_tracks(conditioning: dict, shapes: list[tuple[int, ...]]) -> None:
    """Refuse a conditioning and a latent that disagree on the number of speakers."""
    speakers, tracks = len(pass_settings_of(conditioning).speeches), shapes[1][1]
    if KEY in conditioning and speakers != tracks:
        raise ValueError(
            f"The conditioning has {speakers} speaker(s), the latent {tracks} audio track(s). Feed both outputs "
            "of 'UniAVGen Speakers', conditioning and latent, to the sampler."
        )
