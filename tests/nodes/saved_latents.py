"""Helpers for tests of saved latents: the two nodes in empty folders, and clips to save."""

from pathlib import Path

import folder_paths
import torch
from comfy.nested_tensor import NestedTensor

from tests.nodes.studio import notices_of

OWN = "uniavgen_latent"


class SavedLatents:
    """The nodes that save and load latents, with input and output folders of their own."""

    def __init__(self, nodes, folder):
        self.nodes, self.folder = nodes, folder

    def save(self, latent, prefix="latents/uniavgen"):
        """Run the node; gives the name that the loader takes, and what the node told."""
        output = self.nodes.SaveLatent.execute(latent, prefix)
        return output.args[0], notices_of(output)

    def load(self, name):
        """Check a name as ComfyUI does, and load its file."""
        assert self.nodes.LoadLatent.validate_inputs(name) is True
        return self.nodes.LoadLatent.execute(name).args[0]


def path_of(name):
    return Path(folder_paths.get_annotated_filepath(name))


def clip(clips=1, dtype=torch.float32, **entries):
    """A LATENT of random video and audio, 32x64 pixels and 9 frames long."""
    generator = torch.Generator().manual_seed(clips)
    video = torch.randn(clips, 48, 3, 2, 4, generator=generator).to(dtype)
    audio = torch.randn(clips, 1, 56, 80, generator=generator).to(dtype)
    return {"samples": NestedTensor((video, audio)), **entries}


def masks(clips=1, rows=1, columns=1):
    return NestedTensor((torch.rand(clips, 1, 3, rows, columns), torch.rand(clips, 1, 56, 1)))


def same(one, other):
    """True if two values are equal bit for bit."""
    if isinstance(one, NestedTensor):
        return isinstance(other, NestedTensor) and same(one.unbind(), other.unbind())
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other
