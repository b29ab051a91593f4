"""Seeded damage to files: bytes, lengths, and values of headers and configurations."""

import json
import struct

import yaml

HOSTILE = (
    0, -1, 1, 3, 255, 10**6, 10**9, 2**40, 2**63, 10**30, 0.5, float("nan"), float("inf"), True, None, "", "x", "1e9",
    "../x", [], {}, [[]], [1, 2], [10**9] * 3, {"a": 1}, "F32", "BF16", "I64", "C64", "x" * 10_000, [None] * 1000,
)  # fmt: skip
NEAR_START = 400
"""Bytes at the start of a file, where most of its structure is."""


def flip(random, content):
    """Some bytes get other values, half of the time near the start."""
    data = bytearray(content)
    for _ in range(random.choice((1, 2, 8, 30))):
        place = random.randrange(min(NEAR_START, len(data)) if random.random() < 0.5 else len(data))
        data[place] = random.choice((0, 255, random.randrange(256)))
    return bytes(data)


def cut(random, content):
    """The end is missing."""
    return content[: random.choice((random.randrange(len(content)), random.randrange(min(64, len(content)))))]


def append(random, content):
    """There is something after the end."""
    return content + random.randbytes(random.choice((1, 8, 1000)))


def remove(random, content):
    """A piece is missing."""
    start = random.randrange(len(content))
    return content[:start] + content[start + random.choice((1, 4, 8, 100)) :]


def repeat(random, content):
    """A piece is there twice."""
    start = random.randrange(len(content))
    piece = content[start : start + random.choice((1, 8, 200))]
    return content[:start] + piece + content[start:]


def large_number(random, content):
    """Eight bytes are a large number."""
    start = random.randrange(min(4 * NEAR_START, len(content)))
    number = struct.pack("<Q", random.choice((1 << 31, 1 << 40, 1 << 62, (1 << 64) - 1)))
    return content[:start] + number + content[start + 8 :]


BYTES = (flip, cut, append, remove, repeat, large_number)


def change_value(random, values):
    """Replace, remove or double one value of a tree of dictionaries and lists, in place."""
    node = values
    while True:
        places = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not places:
            return
        place = random.choice(places)
        inner = node[place]
        if isinstance(inner, (dict, list)) and inner and random.random() < 0.9:
            node = inner
            continue
        action = random.random()
        if action < 0.75:
            node[place] = random.choice(HOSTILE)
        elif action < 0.9:
            del node[place]
        elif isinstance(node, dict):
            node[random.choice(("blocks.99999999.x", "blocks.3.x", "", "a\nb", "x" * 5000))] = inner
        else:
            node.append(inner)
        return


def safetensors_header(random, content):
    """A value of the header of a safetensors file is another, or one of its metadata."""
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    metadata = header.get("__metadata__", {})
    objects = [key for key, text in metadata.items() if text.startswith("{")]
    if objects and random.random() < 0.7:
        key = random.choice(objects)
        inner = json.loads(metadata[key])
        change_value(random, inner)
        metadata[key] = json.dumps(inner)
    else:
        change_value(random, header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def json_value(random, content):
    """A value of a JSON file is another."""
    values = json.loads(content)
    change_value(random, values)
    return json.dumps(values).encode()


def yaml_value(random, content):
    """A value of a YAML file is another."""
    values = yaml.safe_load(content)
    change_value(random, values)
    return yaml.safe_dump(values).encode()
