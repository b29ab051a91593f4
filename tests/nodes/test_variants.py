"""The paper's ablation baselines give in ComfyUI what they give in the core, also where a patch replaces a layer."""

from dataclasses import replace

import comfy.ops
import pytest
import torch

from tests.toys import TINY, Clip, random_model, with_variant
from uniavgen_core.config import Alignment, Placement, Position, to_dict
from uniavgen_core.text.tokenize import NULL_SPEECH

VARIANTS = {
    "before the cross-attention": with_variant(position=Position.BEFORE_CROSS_ATTENTION),
    "before the feed-forward": with_variant(position=Position.BEFORE_FFN),
    "no face modulation": with_variant(face_modulation=False),
    "global hearing, temporal seeing": with_variant(a2v_alignment=Alignment.GLOBAL, v2a_alignment=Alignment.TEMPORAL),
    "last layers": replace(TINY, placement=Placement.LAST),
}


def host_model(pack, model):
    """The same network as ComfyUI builds it, with the same weights."""
    config = pack.uniavgen_core.config.from_dict(pack.uniavgen_core.config.ModelConfig, to_dict(model.config))
    hosted = pack.nodes.host.model.joint_model.HostJointModel(config, torch.float32, "cpu", comfy.ops.manual_cast)
    hosted.load_state_dict(model.state_dict())
    return hosted.eval()


def run_hosted(pack, hosted, clip, options):
    """Velocities of a clip that says nothing."""
    with torch.no_grad():
        return hosted(
            [clip.video, clip.audio[:, None]],
            clip.times,
            clip.conditions.caption,
            transformer_options=options,
            uniavgen=pack.nodes.host.conditioning.pass_settings.PassSettings(),
            reference_image=clip.conditions.reference_image,
        )


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("patched", [False, True])
def test_a_variant_is_the_same_network_in_comfyui(pack, name, patched):
    config = VARIANTS[name]
    model, clip = random_model(config, dtype=torch.float32), Clip(dtype=torch.float32, config=config)
    clip.conditions = replace(clip.conditions, speech_ids=torch.tensor([NULL_SPEECH]), speech_lengths=None)
    ran = []

    def replacement(args, extra):
        ran.append(1)
        return extra["original_block"](args)

    patches = {("double_block", layer): replacement for layer in range(config.num_layers)}
    options = {"patches_replace": {"dit": patches}} if patched else {}
    video, audio = run_hosted(pack, host_model(pack, model), clip, options)
    with torch.no_grad():
        alone = clip.run(model)
    torch.testing.assert_close(video, alone.video, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(audio[:, 0], alone.audio, atol=1e-4, rtol=1e-4)
    assert len(ran) == config.num_layers * patched
