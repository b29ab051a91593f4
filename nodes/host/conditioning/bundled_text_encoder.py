"""Cleaning of captions, and the bundled model's caption encoder: fixed features of words, without learned weights.

Dimension key: L words, C features.
"""

from functools import cache
from typing import Any

import comfy.sd
import comfy.supported_models_base
import torch
from torch import nn

from ....uniavgen_core.bundled.hashed_captions import hashed_features
from ....uniavgen_core.config import TOON
from ....uniavgen_core.text.caption_cleaning import INSTALL_FTFY, clean_caption, misses_ftfy
from ..notices import announce


def prepare_caption(caption: str) -> str:
    """Clean a caption as the release does.

    The first caption that needs a package which is not installed sends a notice to the user.
    """
    cleaned = clean_caption(caption)
    if misses_ftfy(cleaned):
        announce_missing_ftfy()
    return cleaned


@cache
def announce_missing_ftfy() -> None:
    """Send the notice once per session."""
    announce(
        "This caption has characters that the release cleans up first, such as curly quotes, full-width letters or "
        "broken accents. That needs the package ftfy, which is not installed, so the result may differ a little. "
        f"Replace them with plain characters, or install it in ComfyUI's Python: {INSTALL_FTFY}"
    )


class WordTokenizer:
    """Passes the caption through, because the encoder itself splits it into words."""

    def __init__(self, embedding_directory: Any = None, tokenizer_data: dict | None = None) -> None:
        del embedding_directory, tokenizer_data

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **_: Any) -> dict:
        """Wrap the caption in ComfyUI's token format: one weighted token that holds the whole text."""
        caption = prepare_caption(text)
        token = (caption, 1.0, 0) if return_word_ids else (caption, 1.0)
        return {"words": [[token]]}

    def state_dict(self) -> dict:
        return {}


class WordEncoder(nn.Module):
    """Turns captions into features; has the methods ``comfy.sd.CLIP`` calls on its model."""

    disable_offload = True

    def __init__(self, device: Any = None, dtype: Any = None, model_options: dict | None = None) -> None:
        super().__init__()
        del device, dtype, model_options
        self.dtypes = {torch.float32}

    def set_clip_options(self, options: dict) -> None:
        """Ignore the options: there are no layers to choose from."""

    def reset_clip_options(self) -> None:
        """Do nothing: no option has been set."""

    def encode_token_weights(self, tokens: dict) -> tuple[torch.Tensor, None]:
        """Encode one caption to features, (1, L, C), without a pooled output."""
        caption = " ".join(token[0] for batch in tokens["words"] for token in batch)
        return hashed_features(caption, TOON.text.caption_dim, TOON.text.caption_length)[None], None

    def load_sd(self, state_dict: dict) -> tuple[list, list]:
        """Load nothing; all keys count as unexpected."""
        return [], list(state_dict)


def bundled_clip() -> comfy.sd.CLIP:
    """CLIP object of the bundled model."""
    return comfy.sd.CLIP(comfy.supported_models_base.ClipTarget(WordTokenizer, WordEncoder))
