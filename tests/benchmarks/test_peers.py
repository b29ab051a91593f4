"""The networks our speed is set against do the same work, and the fp8 one is ours."""

from dataclasses import replace

import pytest
import torch
from comfy.quant_ops import QuantizedTensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.cpu import networks, run_video, video_passes
from benchmarks.flops import Pass, run_pass
from benchmarks.peers import in_fp8
from tests.parity.fixtures import relative_error
from tests.toys import TINY, random_model
from uniavgen_core.config import BranchConfig
from uniavgen_core.shapes import AVShape

CONFIG = replace(
    TINY,
    video=BranchConfig(256, 320, 2),  # heads of 128, as released
    text=replace(TINY.text, caption_dim=40, caption_length=24),
    latent_channels=48,
    time_dim=256,
)
SHAPE = AVShape(64, 64, 9)


@pytest.fixture(scope="module")
def model(comfyui):  # noqa: ARG001 - so that a missing ComfyUI is a clear failure
    return random_model(CONFIG, dtype=torch.float32)


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def test_comfyuis_network_has_our_weights_and_gives_our_result(model):
    passes = video_passes(model)
    generator = torch.Generator().manual_seed(0)
    latents, caption = torch.randn(SHAPE.video, generator=generator), torch.randn(1, 24, 40, generator=generator)
    ours, theirs = (
        passes[name](latents, torch.tensor([500.0]), caption) for name in ("video_pass", "comfyui_video_pass")
    )
    assert relative_error(ours, theirs) < 1e-5


def test_all_peers_do_as_much_arithmetic_as_the_video_branch(model):
    counts = {}
    for name, video_pass in video_passes(model).items():
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # whose products are counted
            run_video(video_pass, model, SHAPE)
        counts[name] = counter.get_total_flops()
    dim, later_latents = CONFIG.video.dim, SHAPE.latent_frames - 1  # ours gives every latent its own time
    times = 2 * later_latents * (CONFIG.time_dim * dim + dim * dim + 6 * dim * dim)
    assert counts["video_pass"] == counts["comfyui_video_pass"] + times
    assert counts["diffusers_video_pass"] == counts["comfyui_video_pass"]


def test_the_fp8_network_is_ours_within_the_formats_precision():
    model, _ = networks(replace(CONFIG, num_layers=2, num_interactions=1))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    small = in_fp8(model, "cpu")
    assert isinstance(small.blocks[0].ffn[0].weight, QuantizedTensor)
    got, want = (run_pass(network, SHAPE, Pass()).video for network in (small, model))
    assert 1e-3 < relative_error(got, want) < 0.15
