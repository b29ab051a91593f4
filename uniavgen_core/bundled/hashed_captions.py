"""Caption features of the bundled model: a fixed random vector for each word, without learned weights.

The captions of the bundled model have few words (an emotion, a head movement, a colour), so distinct vectors are enough
to tell them apart. The released model encodes captions with umT5 instead.
Dimension key: W words, D caption width.
"""

import random
import re
import zlib
from functools import lru_cache
from math import sqrt

import torch
from torch import Tensor

_POSITION_GAIN = 0.25
_SLOWEST = 1e-2  # Lowest frequency of the position encoding, radians per word.


def words(text: str) -> list[str]:
    """Lower-cased words of a text, in order. A word is a run of letters and digits."""
    return re.findall(r"[^\W_]+", text.lower())


@lru_cache(maxsize=4096)
def _word_vector(word: str, dim: int) -> Tensor:
    """Random vector of zero mean and unit variance, seeded by the word, (D,).

    The numbers are uniform, because Python guarantees the sequence of ``random()`` for a seed on every platform and
    version, but not that of ``gauss()``.
    """
    generator = random.Random(zlib.crc32(word.encode("utf-8")))
    return torch.tensor([(2 * generator.random() - 1) * sqrt(3) for _ in range(dim)])


def _positions(length: int, dim: int) -> Tensor:
    """Sinusoidal position encoding of the words, scaled by 0.25, (W, D): sines, then cosines."""
    rates = _SLOWEST ** torch.linspace(0, 1, dim // 2, dtype=torch.float64)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates
    return _POSITION_GAIN * torch.cat([angles.sin(), angles.cos()], 1).float()


def hashed_features(text: str, dim: int = 64, length: int = 32) -> Tensor:
    """Compute the features of a caption.

    Args:
        text: Caption; case and punctuation are ignored. A caption without words, such as the null caption, becomes the
            single word "".
        dim: Width of the features, even.
        length: Most words; later ones are dropped.

    Returns:
        One row per word, (W, D) float32, 1 <= W <= ``length``.
    """
    kept = (words(text) or [""])[:length]
    return torch.stack([_word_vector(word, dim) for word in kept]) + _positions(len(kept), dim)
