"""umT5 as a CLIP object that reads captions as the release does: cleaned, literally, and cut to 512 tokens.

ComfyUI's own loader supports neither the tensor names of Wan's file nor a separate tokenizer file, and it turns any
file it does not recognise into an untrained CLIP of Stable Diffusion. Therefore the CLIP object is built here, from
ComfyUI's classes for Wan.
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
from torch import Tensor

from ....uniavgen_core.checkpoint.checked_files import CheckpointError, naming
from ....uniavgen_core.checkpoint.umt5_files import (
    CHOOSE,
    SPIECE,
    check_encoder,
    encoder_names,
    encoder_shapes,
    sizes_of,
)
from ..model.fill_weights import check_all_finite, read_weight_file
from ..model.quantised_files import check_packed, with_descriptions
from ..notices import announce
from .bundled_text_encoder import prepare_caption
from .umt5_tokenizer import SentencePieceTokenizer, find_tokenizer

MOST_TOKENS = 512
"""Most tokens of a caption, its end-of-text token included; shorter captions are padded with features of zero."""
PAD, END = 0, 1
KEY = "umt5xxl"
TOKENIZER = "uniavgen_pieces"
"""Key of the ``SentencePieceTokenizer`` in ComfyUI's ``tokenizer_data``."""
MODEL_CONFIG = f"{KEY}_model_config"
"""Key under which ComfyUI's text encoder looks for sizes that differ from umT5-xxl's."""


class UMT5Tokenizer(sd1_clip.SDTokenizer):
    """Turns a caption into tokens of weight 1; brackets and 'embedding:' are plain text, as in the release."""

    def __init__(self, embedding_directory: Any = None, tokenizer_data: dict | None = None) -> None:
        del embedding_directory
        data = tokenizer_data or {}
        super().__init__(
            data[TOKENIZER],
            pad_with_end=False,
            embedding_size=data[MODEL_CONFIG]["d_model"],
            embedding_key=KEY,
            tokenizer_class=SentencePieceTokenizer,  # pyright: ignore[reportArgumentType] - ComfyUI only builds it
            has_start_token=False,
            pad_to_max_length=False,
            max_length=MOST_TOKENS,
            min_length=MOST_TOKENS,
            pad_token=PAD,
        )

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, *_: Any, **__: Any) -> list[list[tuple]]:
        """Return one batch of 512 tokens: the caption's, truncated if needed, the end of the text, and padding."""
        ids = self.tokenizer(prepare_caption(text))["input_ids"][: MOST_TOKENS - 1]
        if ids[-1:] != [END]:
            ids = [*ids, END]
        tokens = [(number, 1.0, int(number != END)) for number in ids]
        self.pad_tokens(tokens, MOST_TOKENS - len(tokens))
        return [tokens if return_word_ids else [token[:2] for token in tokens]]

    def state_dict(self) -> dict:
        """Tokenizer in the form in which ComfyUI's text encoder files hold it, if it can be written so."""
        return self.tokenizer.state_dict()


class CaptionTokenizer(sd1_clip.SD1Tokenizer):
    """Tokenizer of the CLIP object; clones of the CLIP share it."""

    def __init__(self, embedding_directory: Any = None, tokenizer_data: dict | None = None) -> None:
        super().__init__(embedding_directory, tokenizer_data, clip_name=KEY, tokenizer=UMT5Tokenizer)


def load_text_encoder(
    path: str,
    on_notice: Callable[[str], None] = announce,
    model_options: dict | None = None,
    disable_dynamic: bool = False,
) -> comfy.sd.CLIP:
    """Load umT5: ComfyUI's files, plain or quantised, or those with Wan's names, such as the release's.

    Args:
        path: The file, which holds its tokenizer or has it nearby; see ``find_tokenizer``.
        on_notice: Called with each harmless oddity of the file, a whole sentence.
        model_options: ComfyUI's loading options.
        disable_dynamic: Use ComfyUI's plain patcher.

    Raises:
        CheckpointError: If the file is damaged, holds another model, would run code, or has no tokenizer.
    """
    file, options = Path(path), model_options or {}
    tensors, metadata = _read(file)
    with naming(file):
        tensors, sizes, tokenizer = _checked(tensors, metadata, file, on_notice)
        encoder = comfy.text_encoders.wan.te(**comfy.text_encoders.sd3_clip.t5_xxl_detect(tensors))
        config = {MODEL_CONFIG: sizes}
        clip = comfy.sd.CLIP(
            comfy.supported_models_base.ClipTarget(CaptionTokenizer, encoder),
            tokenizer_data={TOKENIZER: tokenizer, **config},
            parameters=comfy.utils.calculate_parameters(tensors),
            state_dict=[tensors],
            model_options={**options, **config},
            disable_dynamic=disable_dynamic,
        )
    clip.patcher.cached_patcher_init = (_load_patcher, (path, options))
    return clip


def _checked(
    tensors: dict[str, Tensor], metadata: dict[str, str], file: Path, on_notice: Callable[[str], None]
) -> tuple[dict[str, Tensor], dict[str, int], SentencePieceTokenizer]:
    """Weights, sizes and tokenizer of a file that fit each other."""
    tensors, _ = with_descriptions(encoder_names(tensors), metadata)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    sizes = sizes_of(shapes, file.name)
    fit = check_encoder(shapes, sizes, file.name)
    check_packed(tensors, encoder_shapes(shapes, sizes))
    for notice in fit.notices(file.name):
        on_notice(notice)
    tokenizer = find_tokenizer(file, tensors.pop(SPIECE, None), sizes["vocab_size"])
    tensors = fit.fitted(tensors.items())
    check_all_finite(tensors, file.name)
    return tensors, sizes, tokenizer


def _read(file: Path) -> tuple[dict, dict]:
    try:
        return read_weight_file(file)
    except CheckpointError as error:
        raise CheckpointError(f"{error} {CHOOSE}") from error


def _load_patcher(path: str, model_options: dict, disable_dynamic: bool = False) -> comfy.model_patcher.ModelPatcher:
    """Load the text encoder of a patcher again, without notices; ComfyUI calls this."""
    return load_text_encoder(path, lambda _: None, model_options, disable_dynamic).patcher
