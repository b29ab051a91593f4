"""Seeded damage to values of headers and configurations."""

import json
import struct

import yaml

HOSTILE = (
    0, -1, 1, 3, 255, 10**6, 10**9, 2**40, 2**63, 10**30, 0.5, float("nan"), float("inf"), True, None, "", "x", "1e9",
    "../x", [], {}, [[]], [1, 2], [10**9] * 3, {"a": 1}, "F32", "BF16", "I64", "C64", "x" * 10_000, [None] * 1000,
)  # fmt: skip


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
