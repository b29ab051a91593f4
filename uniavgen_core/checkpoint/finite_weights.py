"""Fast check that weights hold no NaN and no infinity, one tensor at a time.

One pass without copies: the extremes of a tensor are not finite if any of its numbers is not, because NaN takes part in
every minimum. Bytes of fp8 are compared as integers.
"""

import torch
from torch import Tensor

from .checked_files import CheckpointError, shown
from .gguf_quants import BlockKind

CHUNK = 1 << 18
"""Numbers of fp8 that are compared at a time, few enough for a processor's cache."""
LARGEST_FP8 = {torch.float8_e4m3fn: 0x7E, torch.float8_e5m2: 0x7B}
"""Bytes of the largest finite number, without the sign."""
READ_BY_NOTHING = frozenset(("audio_padding",))
"""Tensors of the release that nothing reads and that nothing has set."""


def is_finite(weights: Tensor) -> bool:
    """True if all numbers of a tensor are finite; integers and booleans are."""
    if weights.dtype in LARGEST_FP8:
        largest = LARGEST_FP8[weights.dtype]
        chunks = weights.contiguous().view(torch.uint8).flatten().split(CHUNK)
        return all(int((chunk & 0x7F).amax()) <= largest for chunk in chunks if chunk.numel())
    if not weights.dtype.is_floating_point or weights.dtype.itemsize == 1 or not weights.numel():
        return True
    return all(bool(torch.isfinite(extreme)) for extreme in torch.aminmax(weights))


def is_packed_finite(data: Tensor, kind: BlockKind) -> bool:
    """True if packed weights are finite, which the float16 scales of their blocks decide.

    Args:
        data: Bytes of a tensor in a GGUF block format.
        kind: The format.
    """
    form = kind.value
    blocks = data.reshape(-1, form.size)
    return all(is_finite(blocks[:, place : place + 2].contiguous().view(torch.float16)) for place in form.scales)


def not_finite(name: str, file: str) -> CheckpointError:
    """Error for a tensor with numbers that are not finite."""
    return CheckpointError(
        f"{file} is damaged: its tensor {shown(name)} holds numbers that are not finite (NaN or infinity), with which "
        "the video would be black and silent. Download the file again, or convert it again."
    )
