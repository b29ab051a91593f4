"""Both blocks and both directions of the interaction compile as one graph each and give what they give without.

With the backend ``eager``: whether the graph breaks is decided before a backend sees it, and others take minutes here.
"""

import subprocess
import sys

import pytest
import torch

from tests.toys import TINY, random_model
from tools.environment import ROOT
from uniavgen_core.layers import token_chunks
from uniavgen_core.layers.rope import rope_1d
from uniavgen_core.model import branch, mixed_attention
from uniavgen_core.model.alignment_tables import build_geometry
from uniavgen_core.model.branch import Stream

LATENTS, ROWS, COLUMNS, AUDIO_TOKENS, CHARACTERS = 3, 2, 3, 40, 7
KEPT_OUT = """
import sys
import torch
EARLY
from uniavgen_core.layers.compiling import never_compiled
from uniavgen_core.model import joint
print("torch._dynamo" in sys.modules)

@never_compiled
def kept_out(x):
    return torch.sin(x)

def backend(graph, inputs):
    print(any(node.target is torch.sin for node in graph.graph.nodes))
    return graph.forward

x = torch.ones(3)
compiled = torch.compile(lambda x: torch.cos(kept_out(x + 1)), backend=backend)
print(torch.equal(compiled(x), torch.cos(torch.sin(x + 1))))
"""


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def stream_of(config, steps, per_step):
    """A stream with random content, and text that is read with rotations and a mask."""
    tokens, characters = steps * per_step, torch.arange(CHARACTERS)
    ropes = [rope_1d(torch.arange(n), config.head_dim) for n in (tokens, CHARACTERS)]
    return Stream(
        tokens=draw(1, tokens, config.dim),
        temb=draw(1, steps, config.dim),
        modulation=draw(1, steps, 6, config.dim),
        rope=ropes[0],
        text=draw(1, CHARACTERS, config.dim),
        text_ropes=tuple(ropes),
        text_mask=characters[None] < 5,
    )


def calls():
    """Each part of the network with inputs, by name."""
    model = random_model(dtype=torch.float32)
    geometry = build_geometry(TINY, (LATENTS, ROWS, COLUMNS), AUDIO_TOKENS, torch.empty(0))
    video, audio = draw(1, LATENTS * ROWS * COLUMNS, TINY.video.dim), draw(1, AUDIO_TOKENS, TINY.audio.dim)
    mask = draw(1, LATENTS * ROWS * COLUMNS, 1).sigmoid()
    return {
        "video block": (model.blocks[0], (stream_of(TINY.video, LATENTS, ROWS * COLUMNS),)),
        "audio block": (model.audio_blocks[0], (stream_of(TINY.audio, AUDIO_TOKENS, 1),)),
        "audio to video": (model.a2v_blocks[0], (video, audio, mask, geometry)),
        "video to audio": (model.v2a_blocks[0], (audio, video, mask, geometry)),
    }


@pytest.fixture(params=["whole", "in chunks"])
def without_gradients(request, monkeypatch):
    if request.param == "in chunks":
        for module in (token_chunks, branch, mixed_attention):
            monkeypatch.setattr(module, "LEAST_TOKENS", 1)
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


@pytest.mark.parametrize("early", [False, True])
def test_the_network_does_not_import_the_compiler_and_yet_keeps_functions_out_of_graphs(early):
    program = KEPT_OUT.replace("EARLY", "import torch._dynamo" if early else "")
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    imported, *in_graphs, equal = ran.stdout.split()
    assert imported == str(early)
    assert in_graphs == ["False", "False"]
    assert equal == "True"
