"""The video branch alone is ComfyUI's own Wan2.2 network, weight for weight and number for number."""

from dataclasses import replace

import comfy.ops
import pytest
import torch
from comfy.ldm.wan.model import WanModel
from safetensors.torch import save_file

from tests.parity.fixtures import seeded_tensor
from tests.toys import TINY
from uniavgen_core.checkpoint.wan_files import load_wan_branch
from uniavgen_core.config import BranchConfig, Interaction
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import Conditions, JointModel

CONFIG = replace(
    TINY,
    video=BranchConfig(256, 320, 2),  # heads of 128, as released
    text=replace(TINY.text, caption_dim=40, caption_length=24),
    num_layers=4,
    latent_channels=48,
    time_dim=256,
)


@pytest.fixture(scope="module")
def wan(comfyui):  # noqa: ARG001 - so that a missing ComfyUI is a clear failure
    """ComfyUI's network of Wan2.2-TI2V-5B at reduced width, with seeded weights."""
    video, text = CONFIG.video, CONFIG.text
    model = WanModel(
        model_type="t2v",
        patch_size=(1, 2, 2),
        text_len=text.caption_length,
        in_dim=48,
        dim=video.dim,
        ffn_dim=video.ffn_dim,
        freq_dim=CONFIG.time_dim,
        text_dim=text.caption_dim,
        out_dim=48,
        num_heads=video.num_heads,
        num_layers=CONFIG.num_layers,
        dtype=torch.float32,
        operations=comfy.ops.disable_weight_init,
    )
    weights = {name: seeded_tensor(name, value.shape, torch.float32) for name, value in model.state_dict().items()}
    model.load_state_dict(weights)
    return model.eval()


@pytest.fixture(scope="module")
def joint(wan, tmp_path_factory):
    """Our network with those weights, through a file with ComfyUI's prefix."""
    path = tmp_path_factory.mktemp("wan") / "wan2.2_ti2v_small.safetensors"
    save_file({f"model.diffusion_model.{name}": value for name, value in wan.state_dict().items()}, path)
    model = JointModel(CONFIG)
    torch.manual_seed(0)
    initialize(model)
    load_wan_branch(model, path)
    return model.eval()


@pytest.mark.parametrize("interaction", [Interaction.OFF, Interaction.BOTH])  # both: ``o`` is zero at the start
@pytest.mark.parametrize(("time", "latents", "size"), [(999.0, 3, (8, 12)), (500.0, 1, (6, 4)), (17.25, 5, (4, 4))])
def test_the_video_branch_predicts_what_comfyuis_wan_does(wan, joint, interaction, time, latents, size):
    generator = torch.Generator().manual_seed(latents)
    video = torch.randn(2, 48, latents, *size, generator=generator)
    caption = torch.randn(2, 24, 40, generator=generator)
    caption[:, 9:] = 0  # zeros past the mask, as ComfyUI's text encoder gives them
    timestep = torch.tensor([time, time / 2])
    conditions = Conditions(caption[:, :9], torch.ones(2, 6, dtype=torch.long), interaction=interaction)
    times = (timestep[:, None].expand(-1, latents), torch.zeros(2, 30))
    with torch.no_grad():
        want = wan(video.clone(), timestep, caption)
        got = joint(video, torch.randn(2, 30, CONFIG.mel_bins, generator=generator), times, conditions).video
    assert want.std() > 0.1
    assert (got - want).norm() / want.norm() < 1e-5
    assert (got - want).abs().max() / want.abs().max() < 1e-5
