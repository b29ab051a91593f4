"""Both blocks and both directions of the interaction compile as one graph each and give what they give without.

With the backend ``eager``: whether the graph breaks is decided before a backend sees it, and others take minutes here.
"""

import pytest
import torch

from tests.toys import TINY, random_model
from uniavgen_core.layers import token_chunks as parts
from uniavgen_core.layers.rope import rotation_1d
from uniavgen_core.model import branch
from uniavgen_core.model import mixed_attention as mixture
from uniavgen_core.model.alignment_tables import build_geometry
from uniavgen_core.model.branch import Stream

LATENTS, ROWS, COLUMNS, HEARD, CHARACTERS = 3, 2, 3, 40, 7


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def stream_of(config, steps, per_step):
    """A stream with random content, and text that is read with rotations and a mask."""
    tokens, characters = steps * per_step, torch.arange(CHARACTERS)
    rotations = [rotation_1d(torch.arange(n), config.head_dim) for n in (tokens, CHARACTERS)]
    return Stream(
        tokens=draw(1, tokens, config.dim),
        temb=draw(1, steps, config.dim),
        modulation=draw(1, steps, 6, config.dim),
        rotation=rotations[0],
        text=draw(1, CHARACTERS, config.dim),
        text_rotations=tuple(rotations),
        text_mask=characters[None] < 5,
    )


def calls():
    """Each part of the network with inputs, by name."""
    model = random_model(dtype=torch.float32)
    geometry = build_geometry(TINY, (LATENTS, ROWS, COLUMNS), HEARD, torch.empty(0))
    video, audio = draw(1, LATENTS * ROWS * COLUMNS, TINY.video.dim), draw(1, HEARD, TINY.audio.dim)
    mask = draw(1, LATENTS * ROWS * COLUMNS, 1).sigmoid()
    return {
        "video block": (model.blocks[0], (stream_of(TINY.video, LATENTS, ROWS * COLUMNS),)),
        "audio block": (model.audio_blocks[0], (stream_of(TINY.audio, HEARD, 1),)),
        "audio to video": (model.a2v_blocks[0], (video, audio, mask, geometry)),
        "video to audio": (model.v2a_blocks[0], (audio, video, mask, geometry)),
    }


@pytest.fixture(params=["whole", "in parts"])
def without_gradients(request, monkeypatch):
    if request.param == "in parts":
        for module in (parts, branch, mixture):
            monkeypatch.setattr(module, "LEAST", 1)
        monkeypatch.setattr(branch, "HIDDEN", 0.3)
    torch.compiler.reset()
    with torch.no_grad():
        yield


@pytest.mark.parametrize("part", calls())
@pytest.mark.usefixtures("without_gradients")
def test_a_part_of_the_network_compiles_without_a_break(part):
    module, inputs = calls()[part]
    want = module(*inputs)
    got = torch.compile(module, fullgraph=True, backend="eager")(*inputs)
    torch.testing.assert_close(got, want)
