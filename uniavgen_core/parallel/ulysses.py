"""Self-attention over a sequence that is split over processes.

Before attention every process trades its tokens' other heads for the other tokens of its own heads, and trades back
after it. Between the two, attention is the backend's own, on whole sequences.
Source: DeepSpeed-Ulysses (arXiv:2309.14509), here with parts of any size.
Dimension key: B batch, N tokens of this process, M tokens of all, H heads, D width.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .sequence_group import SequenceGroup, even_spans, length


class UlyssesAttention:
    """Attention function of a ``Backend`` for the self-attention of one branch.

    Attributes:
        tokens: Tokens of each process in the pass under way.
    """

    def __init__(self, attention: Callable[..., Tensor], heads: int, group: SequenceGroup) -> None:
        self.attention, self.group = attention, group
        self.heads = even_spans(heads, group.size)
        self.tokens: tuple[int, ...] = ()

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, heads: int, mask: None = None, options: Any = None) -> Tensor:
        """Attend from the tokens of this process to those of all.

        Args:
            q: Queries of this process's tokens, (B, N, D).
            k: Their keys, (B, N, D).
            v: Their values, (B, N, D).
            heads: Number of heads H.
            mask: Always None: no token of a branch is hidden from its self-attention.
            options: Options of the host, passed on to its attention function.

        Returns:
            Attended values of this process's tokens, (B, N, D).
        """
        del mask
        (batch, own_tokens, dim), rank = q.shape, self.group.rank
        widths = [length(span) * dim // heads for span in self.heads]
        own_width = widths[rank]
        by_heads = zip(*(x.split(widths, dim=-1) for x in (q, k, v)), strict=True)
        query_key_value = self.group.exchange(
            [torch.stack(parts) for parts in by_heads], [(3, batch, tokens, own_width) for tokens in self.tokens]
        )
        whole = torch.cat(query_key_value, dim=2)  # (3, B, M, width of this process's heads)
        del query_key_value
        attended = self.attention(*whole, length(self.heads[rank]), options=options)
        by_tokens = attended.split(self.tokens, dim=1)
        return torch.cat(self.group.exchange(by_tokens, [(batch, own_tokens, width) for width in widths]), dim=-1)
