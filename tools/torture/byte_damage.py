"""Seeded damage to the bytes of a file."""

import struct
from collections.abc import Callable
from random import Random

NEAR_START = 400
"""Bytes at the start of a file, where most of its structure is."""


def flip(random: Random, content: bytes) -> bytes:
    """Change some bytes, half of the time near the start."""
    data = bytearray(content)
    for _ in range(random.choice((1, 2, 8, 30))):
        place = random.randrange(min(NEAR_START, len(data)) if random.random() < 0.5 else len(data))
        data[place] = random.choice((0, 255, random.randrange(256)))
    return bytes(data)


def cut(random: Random, content: bytes) -> bytes:
    """Cut off the end."""
    return content[: random.choice((random.randrange(len(content)), random.randrange(min(64, len(content)))))]


def append(random: Random, content: bytes) -> bytes:
    """Append random bytes."""
    return content + random.randbytes(random.choice((1, 8, 1000)))


def remove(random: Random, content: bytes) -> bytes:
    """Remove a piece."""
    start = random.randrange(len(content))
    return content[:start] + content[start + random.choice((1, 4, 8, 100)) :]


def repeat(random: Random, content: bytes) -> bytes:
    """Repeat a piece."""
    start = random.randrange(len(content))
    piece = content[start : start + random.choice((1, 8, 200))]
    return content[:start] + piece + content[start:]


def large_number(random: Random, content: bytes) -> bytes:
    """Write a large number over eight bytes."""
    start = random.randrange(min(4 * NEAR_START, len(content)))
    number = struct.pack("<Q", random.choice((1 << 31, 1 << 40, 1 << 62, (1 << 64) - 1)))
    return content[:start] + number + content[start + 8 :]


BYTES: tuple[Callable[[Random, bytes], bytes], ...] = (flip, cut, append, remove, repeat, large_number)
"""All kinds of damage."""
