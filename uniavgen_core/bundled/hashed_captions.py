"""Caption features of the bundled model: a fixed random vector for each word. There is nothing to learn or to load.

The bundled model's captions hold few words (an emotion, a head movement, a colour); vectors that differ are all
it needs to tell them apart. The released model reads captions with umT5 instead.
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
_SLOWEST = 1e-2  # Turns of the position code's slowest pair, radians per word.


def words(text: str) -> list[str]:
    """Lower-cased words of a text, in order: runs of letters and digits; all else separates."""
    return re.findall(r"[^\W_]+", text.lower())


@lru_cache(maxsize=4096)
def _word_vector(word: str, dim: int) -> Tensor:
    """A vector of zero mean and unit variance that belongs to the word, (D,).

    Uniform numbers, because Python promises the sequence of ``random()`` for a seed on every platform and version;
    it promises no such thing for ``gauss()``.
    """
    draw = random.Random(zlib.crc32(word.encode("utf-8")))
    return torch.tensor([(2 * draw.random() - 1) * sqrt(3) for _ in range(dim)])


def _positions(length: int, dim: int) -> Tensor:
    """A small sinusoid that tells the words' order, (W, D): sines, then cosines."""
    rates = _SLOWEST ** torch.linspace(0, 1, dim // 2, dtype=torch.float64)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates
    return _POSITION_GAIN * torch.cat([angles.sin(), angles.cos()], 1).float()


def hashed_features(text: str, dim: int = 64, length: int = 32) -> Tensor:
    """Turn a caption into features.

    Args:
        text: Caption; only its words count, without case and punctuation. A caption without words, such as the null
            caption, reads as the one word "".
        dim: Width of the features, even.
        length: Most words that are read; later ones are dropped.

    Returns:
        One row per word, (W, D) float32, 1 <= W <= ``length``.

    Raises:
        ValueError: If ``dim`` is not positive and even, or ``length`` not positive.
    """
    if dim < 2 or dim % 2 or length < 1:
        raise ValueError(f"dim is {dim} and length {length}; dim must be positive and even, length positive.")
    read = (words(text) or [""])[:length]
    return torch.stack([_word_vector(word, dim) for word in read]) + _positions(len(read), dim)
