"""What a pass takes in memory: parts of a sequence give what the whole does, and the most at once has a bound."""

from dataclasses import replace

import pytest
import torch

from benchmarks.peak import pass_peak, peak_of
from tests.toys import TINY, Clip, random_model
from uniavgen_core.config import RELEASED
from uniavgen_core.layers import token_chunks as parts
from uniavgen_core.layers.backend import Backend
from uniavgen_core.layers.modulation import gated_add, modulate
from uniavgen_core.layers.token_chunks import by_parts, spans
from uniavgen_core.model import branch
from uniavgen_core.model import mixed_attention as mixture
from uniavgen_core.shapes import AVShape
from uniavgen_core.training.memory_trace import COUNTED

WHOLE = Backend(repeatable=lambda *_: False)
MEGA = 1e6


@pytest.fixture
def small_parts(monkeypatch):
    """Parts as small as can be, so that a toy has many."""
    for module in (parts, branch, mixture):
        monkeypatch.setattr(module, "LEAST", 1)
    monkeypatch.setattr(branch, "HIDDEN", 0.3)


def calls_of(model, clip):
    """Result of a clip, and how often each feed-forward's first layer ran."""
    counts = [0] * len(model.blocks)
    for number, block in enumerate(model.blocks):

        def count(*_, number=number):
            counts[number] += 1

        block.ffn[0].register_forward_hook(count)
    return clip.run(model), counts


@pytest.mark.parametrize("backend", [Backend(), WHOLE], ids=["in parts", "weights fetched once"])
@pytest.mark.parametrize("clip", [Clip(voice=5), Clip(batch=2, latents=5, tokens=33, image=False)])
@pytest.mark.usefixtures("small_parts")
def test_parts_give_what_the_whole_does_and_layers_that_are_fetched_run_once(clip, backend):
    whole, once = calls_of(random_model(backend=backend), clip)  # autograd computes whole
    with torch.no_grad():
        in_parts, counts = calls_of(random_model(backend=backend), clip)
    for name in ("video", "audio", "face_masks"):
        torch.testing.assert_close(getattr(in_parts, name), getattr(whole, name), rtol=1e-11, atol=1e-12)
    assert once == [1] * TINY.num_layers
    assert (min(counts) > 1) == (backend is not WHOLE)


@pytest.mark.usefixtures("small_parts")
def test_parts_give_what_the_whole_does_in_mixed_precision():
    model, clip = random_model(dtype=torch.float32), Clip(voice=5, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        whole = clip.run(model)
        with torch.no_grad():
            in_parts = clip.run(model)
    torch.testing.assert_close(in_parts.video, whole.video, rtol=0.02, atol=0.02)
    torch.testing.assert_close(in_parts.audio, whole.audio, rtol=0.02, atol=0.02)


def test_parts_cover_a_sequence_once_and_may_take_its_place():
    x = torch.arange(10.0)[None, :, None]
    assert [index for span in spans(10, 4) for index in range(10)[span]] == list(range(10))
    with torch.no_grad():
        assert torch.equal(by_parts(lambda span: 2 * x[:, span], 10, 4), 2 * x)
        own = x.clone()
        assert by_parts(lambda span: 2 * own[:, span], 10, 4, into=own) is own
    assert torch.equal(own, 2 * x)


def test_gradients_are_those_of_the_whole_though_memory_for_parts_was_offered(small_parts):
    del small_parts
    x = torch.arange(10.0, requires_grad=True)
    by_parts(lambda span: x[None, span, None] ** 2, 10, 4, into=x[None, :, None]).sum().backward()
    assert torch.equal(x.grad, 2 * x.detach())


MOST = {(1280, 736): 705, (736, 736): 420, (480, 480): 215}
"""Megabytes of activations at the released size in bfloat16, 81 frames. A plain pass took 1580, 911 and 398."""


@pytest.mark.parametrize("size", MOST)
def test_a_pass_of_the_released_network_keeps_its_memory(size):
    assert pass_peak(RELEASED, AVShape(*size, 81)) <= MOST[size] * MEGA


def test_where_weights_are_fetched_for_every_run_the_feed_forward_alone_takes_more():
    peak = pass_peak(RELEASED, AVShape(1280, 736, 81), backend=replace(COUNTED, repeatable=WHOLE.repeatable))
    assert 700 * MEGA < peak <= 1150 * MEGA


def test_a_layer_more_takes_no_more_than_its_mask():
    shape = AVShape(480, 480, 81)
    masks = 2 * shape.latent_frames * 15 * 15
    two, all_that_run = (pass_peak(replace(RELEASED, num_layers=n, num_interactions=1), shape) for n in (2, 3))
    assert all_that_run <= two + masks


@pytest.mark.parametrize("work", [lambda x, one, two: modulate(x, one, two), lambda x, one, _: gated_add(x, x, one)])
def test_modulation_makes_one_tensor_of_the_sequences_length(work):
    tokens, one, two = (torch.empty(1, length, 64, device="meta") for length in (600, 3, 3))
    assert peak_of(lambda: work(tokens, one, two)) < 1.1 * tokens.nbytes


def test_the_peak_is_the_most_that_lives_at_once():
    def run():
        first = torch.ones(1000)
        second = first + 1
        del first
        third = second[:10]  # the same memory
        return torch.cat((third, torch.ones(500)))

    assert peak_of(run) == 4 * (1000 + 500 + 510)  # what is left of the two thousand, and two more
