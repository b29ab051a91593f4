"""Speech text encoder: character ids to features for the audio branch.

Source: ConvNeXt V2 (arXiv:2301.00808) blocks as F5-TTS (arXiv:2410.06885) uses them on text.
Dimension key: B batch, L characters, C width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import TextConfig
from ..layers.attention import EPS
from ..layers.backend import Backend
from ..layers.rope import sinusoid

FILLER = -1
MAX_CHARACTERS = 4096


class GlobalResponseNorm(nn.Module):
    """Lets channels compete by their norms over the text, including fillers that the audio branch attends to."""

    def __init__(self, dim: int, backend: Backend) -> None:
        super().__init__()
        self.cast = backend.cast
        self.gamma = nn.Parameter(torch.empty(1, 1, dim))
        self.beta = nn.Parameter(torch.empty(1, 1, dim))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise features (B, L, C); characters for which ``mask``, (B, L, 1), is 0 take no part in the norm."""
        norms = (x if mask is None else x * mask).norm(dim=1, keepdim=True)
        response = norms / (norms.mean(dim=-1, keepdim=True) + EPS)
        return x + self.cast(self.gamma, x) * (x * response) + self.cast(self.beta, x)


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over characters, then a pointwise network with global response normalisation."""

    def __init__(self, dim: int, ffn_dim: int, backend: Backend) -> None:
        super().__init__()
        self.dwconv = backend.ops.Conv1d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = backend.ops.LayerNorm(dim, eps=EPS)
        self.pwconv1 = backend.ops.Linear(dim, ffn_dim)
        self.grn = GlobalResponseNorm(ffn_dim, backend)
        self.pwconv2 = backend.ops.Linear(ffn_dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Transform features (B, L, C); ``mask`` as in ``GlobalResponseNorm``."""
        hidden = self.norm(self.dwconv(x.transpose(1, 2)).transpose(1, 2))
        return x + self.pwconv2(self.grn(F.gelu(self.pwconv1(hidden)), mask))


class SpeechTextEncoder(nn.Module):
    """Embeds characters and their positions and mixes neighbours; fillers are zero before and after every block."""

    def __init__(self, config: TextConfig, backend: Backend) -> None:
        super().__init__()
        self.dim = config.speech_dim
        self.text_embed = backend.ops.Embedding(config.vocabulary, config.speech_dim)
        blocks = (ConvNeXtBlock(config.speech_dim, config.speech_ffn_dim, backend) for _ in range(config.speech_blocks))
        self.text_blocks = nn.ModuleList(blocks)

    def forward(self, ids: Tensor, dtype: torch.dtype, lengths: Tensor | None = None) -> Tensor:
        """Encode characters as features (B, L, C).

        Args:
            ids: Vocabulary indices, -1 for filler, long, (B, L), L at most 4096.
            dtype: Dtype of the features.
            lengths: Characters of each text that the audio branch attends to, (B,); None for all L. The characters
                after them only fill the batch and change no feature before them.

        Raises:
            ValueError: If the text is longer than the position table.
        """
        if ids.shape[1] > MAX_CHARACTERS:
            raise ValueError(f"The transcript has {ids.shape[1]} characters; the model can read {MAX_CHARACTERS}.")
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.text_embed(ids + 1).to(dtype) + sinusoid(positions, self.dim).to(dtype)  # (B, L, C)
        not_filler = (ids != FILLER)[..., None]
        x = x * not_filler
        mask = None if lengths is None else (positions < lengths[:, None])[..., None].to(dtype)
        for block in self.text_blocks:
            x = block(x, mask) * not_filler
        return x
