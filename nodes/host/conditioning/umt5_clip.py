"""umT5 as a CLIP object that reads captions as the release does: cleaned, literally, and cut to 512 tokens.

ComfyUI's own loader knows neither the names in Wan's file nor a tokenizer beside it, and makes an untrained CLIP of
Stable Diffusion from any file it does not recognise. So the CLIP object is built here, from ComfyUI's classes for Wan.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.model_patcher
import comfy.sd
import comfy.supported_models_base
import comfy.text_encoders.sd3_clip
import comfy.text_encoders.wan
import comfy.utils
from comfy import sd1_clip

from ....uniavgen_core.checkpoint.umt5_files import CHOOSE, SPIECE, check_encoder, config_of, encoder_names, sizes_of
from ....uniavgen_core.checkpoint.weight_files import CheckpointError
from ..model.fill_weights import read_weight_file
from ..notices import announce
from .bundled_text_encoder import prepared
from .umt5_tokenizer import Pieces, find_pieces

MOST_TOKENS = 512
"""Tokens of a caption, the end of the text among them; features are as many, zeros after the caption's own."""
PAD, END = 0, 1
KEY = "umt5xxl"
PIECES = "uniavgen_pieces"
"""Key of the tokenizer's ``Pieces`` in ComfyUI's ``tokenizer_data``."""
MODEL_CONFIG = f"{KEY}_model_config"
"""Key under which ComfyUI's text encoder looks for other sizes than umT5-xxl's."""


class CaptionPieces(sd1_clip.SDTokenizer):
    """Turns a caption into weighted tokens, all of weight 1: brackets and 'embedding:' are text, as in the release."""

    def __init__(self, embedding_directory: Any = None, tokenizer_data: dict | None = None) -> None:
        del embedding_directory
        data = tokenizer_data or {}
        super().__init__(
            data[PIECES],
            pad_with_end=False,
            embedding_size=data[MODEL_CONFIG]["d_model"],
            embedding_key=KEY,
            tokenizer_class=Pieces,
            has_start_token=False,
            pad_to_max_length=False,
            max_length=MOST_TOKENS,
            min_length=MOST_TOKENS,
            pad_token=PAD,
        )

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **_: Any) -> list[list[tuple]]:
        """Give one batch of 512 tokens: the caption's, cut before the end of the text, and pads."""
        ids = self.tokenizer(prepared(text))["input_ids"][: MOST_TOKENS - 1]
        if ids[-1:] != [END]:
            ids = [*ids, END]
        tokens = [(number, 1.0, int(number != END)) for number in ids]
        self.pad_tokens(tokens, MOST_TOKENS - len(tokens))
        return [tokens if return_word_ids else [token[:2] for token in tokens]]

    def state_dict(self) -> dict:
        """The tokenizer, as ComfyUI's text encoder files carry it, where it can be written so."""
        return self.tokenizer.state_dict()


class CaptionTokenizer(sd1_clip.SD1Tokenizer):
    """The tokenizer of the CLIP object; clones of the CLIP share it."""

    def __init__(self, embedding_directory: Any = None, tokenizer_data: dict | None = None) -> None:
        super().__init__(embedding_directory, tokenizer_data, clip_name=KEY, tokenizer=CaptionPieces)


def load_text_encoder(
    path: str,
    on_notice: Callable[[str], None] = announce,
    model_options: dict | None = None,
    disable_dynamic: bool = False,
) -> comfy.sd.CLIP:
    """Load umT5: ComfyUI's files, plain or quantised, or those with Wan's names, such as the release's.

    Args:
        path: The file. Its tokenizer is in it, or in files near it; see ``find_pieces``.
        on_notice: Told what of the file is unexpected and harms nothing.
        model_options: ComfyUI's loading options.
        disable_dynamic: Use ComfyUI's plain patcher.

    Raises:
        CheckpointError: If the file is damaged, holds another model or asks to run code, or has no tokenizer.
    """
    file, options = Path(path), model_options or {}
    try:
        tensors, metadata = read_weight_file(file)
    except CheckpointError as error:
        raise CheckpointError(f"{error} {CHOOSE}") from error
    tensors, _ = comfy.utils.convert_old_quants(encoder_names(tensors), model_prefix="", metadata=metadata)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    sizes = sizes_of(shapes, file.name)
    fit = check_encoder(shapes, sizes, file.name)
    for notice in fit.notices(file.name):
        on_notice(notice)
    pieces = find_pieces(file, tensors.pop(SPIECE, None), sizes.vocab_size)
    target = comfy.supported_models_base.ClipTarget(
        CaptionTokenizer,
        comfy.text_encoders.wan.te(**comfy.text_encoders.sd3_clip.t5_xxl_detect(tensors)),
    )
    tensors, config = fit.fitted(tensors.items()), {MODEL_CONFIG: config_of(sizes)}
    clip = comfy.sd.CLIP(
        target,
        tokenizer_data={PIECES: pieces, **config},
        parameters=comfy.utils.calculate_parameters(tensors),
        state_dict=[tensors],
        model_options={**options, **config},
        disable_dynamic=disable_dynamic,
    )
    clip.patcher.cached_patcher_init = (_load_patcher, (path, options))
    return clip


def _load_patcher(path: str, model_options: dict, disable_dynamic: bool = False) -> comfy.model_patcher.ModelPatcher:
    """Load again what a patcher was loaded from, as ComfyUI asks for it."""
    return load_text_encoder(path, lambda _: None, model_options, disable_dynamic).patcher
