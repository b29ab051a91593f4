"""Writes weights as the release does: a folder of numbered shards, with an index."""

import json

from safetensors.torch import save_file

COUNT = 3
INDEX = "diffusion_pytorch_model.safetensors.index.json"


def shard_name(number):
    return f"diffusion_pytorch_model-{number:05}-of-{COUNT:05}.safetensors"


def write_shards(folder, weights, metadata, index=True):
    """Write a third of the tensors, in the order of their names, to each shard."""
    folder.mkdir(parents=True, exist_ok=True)
    names, weight_map = sorted(weights), {}
    for number in range(1, COUNT + 1):
        part = names[(number - 1) * len(names) // COUNT : number * len(names) // COUNT]
        save_file({name: weights[name].contiguous() for name in part}, folder / shard_name(number), metadata)
        weight_map |= dict.fromkeys(part, shard_name(number))
    if index:
        said = {"metadata": {"total_size": 0}, "weight_map": weight_map}
        (folder / INDEX).write_text(json.dumps(said), encoding="utf-8")
    return folder
