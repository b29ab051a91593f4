"""ComfyUI's sampler on the small golden network gives what the core's own loop gives."""

from dataclasses import replace

import comfy.samplers
import pytest
import torch
from comfy.nested_tensor import NestedTensor

from tests.nodes.pack_config import config_of_pack
from tests.parity.fixtures import relative_error
from uniavgen_core.config import AfterShare, GuidanceConfig
from uniavgen_core.diffusion.guidance import GuidancePlan
from uniavgen_core.diffusion.schedule import release_sigmas
from uniavgen_core.model.joint import Conditions
from uniavgen_core.pipeline import Denoiser, generate, keep_first_frame

STEPS = 5


@pytest.fixture(scope="module")
def run(golden_runs):
    """The joint task of the golden runs."""
    return golden_runs.info["float32"]["AVG"]


@pytest.fixture(scope="module")
def inputs(golden_runs, run):
    return {name: golden_runs.seeded(*spec) for name, spec in run["inputs"].items()}


@pytest.fixture(scope="module")
def guidance(run):
    return GuidanceConfig(
        run["video_guidance"], run["audio_guidance"], run["macfg_prop"], AfterShare.TEXT_CFG, run["slg_layer"]
    )


@pytest.fixture(scope="module")
def conditionings(pack, golden_runs, inputs):
    """Positive and negative CONDITIONING of the run."""
    conditions = pack.nodes.host.conditioning.pass_settings
    said = {conditions.KEY: conditions.PassSettings((conditions.Speech(golden_runs.info["meta"]["texts"]["main"]),))}
    image = {conditions.REFERENCE_IMAGE_KEY: inputs["ref_image"]}
    return [[inputs["caption"], said | image]], [[inputs["neg_caption"], {}]]


@pytest.fixture(scope="module")
def latent(pack, inputs):
    """Empty joint LATENT whose first frame is kept."""
    empty = NestedTensor((torch.zeros_like(inputs["noise_video"]), torch.zeros_like(inputs["noise_audio"])[:, None]))
    return pack.nodes.host.sampling.joint_latent.keep_first_latent({"samples": empty}, inputs["ref_image"])


def core_result(golden_runs, run, inputs, guidance, sigmas):
    noise = (inputs["noise_video"], inputs["noise_audio"])
    cond = Conditions(inputs["caption"], torch.tensor([run["speech_text_ids"]]), reference_image=inputs["ref_image"])
    null = replace(cond, caption=inputs["neg_caption"], speech_ids=torch.tensor([run["null_text_ids"]]))
    kept = keep_first_frame(inputs["ref_image"], *noise)
    plan = GuidancePlan.of(guidance, sigmas)
    return generate(Denoiser(golden_runs.model(), cond, null, kept, plan), noise, sigmas)


def guider_of(pack, model, conditionings, guidance):
    """GUIDER of the pack with this guidance."""
    make_guider = pack.nodes.host.sampling.guided_sampling.make_guider
    return make_guider(model, *conditionings, config_of_pack(pack, guidance))


def host_result(guider, inputs, latent, sigmas):
    noise = NestedTensor((inputs["noise_video"], inputs["noise_audio"][:, None]))
    sampler = comfy.samplers.sampler_object("euler")
    with torch.inference_mode():
        result = guider.sample(noise, latent["samples"], sampler, sigmas, denoise_mask=latent["noise_mask"], seed=0)
    video, audio = result.unbind()
    return video, audio[:, 0]


@pytest.mark.parametrize(
    ("share", "after"),
    [(0.5, AfterShare.TEXT_CFG), (0.0, AfterShare.TEXT_CFG), (1.0, AfterShare.TEXT_CFG), (0.5, AfterShare.NONE)],
)
def test_the_hosts_sampler_equals_the_cores_loop(
    pack, golden_runs, run, golden_model, inputs, guidance, conditionings, latent, share, after
):
    guidance = replace(guidance, modality_aware_share=share, after_share=after)
    sigmas = release_sigmas(STEPS)
    expected = core_result(golden_runs, run, inputs, guidance, sigmas)
    guider = guider_of(pack, golden_model, conditionings, guidance)
    for got, want in zip(host_result(guider, inputs, latent, sigmas), expected, strict=True):
        assert relative_error(got, want) < 1e-5


def test_the_null_pass_switches_after_the_steps_the_release_counts(
    pack, golden_model, inputs, conditionings, latent, guidance
):
    seen = []

    def record(execute, x, t, *args, **kwargs):
        seen.append((float(t[0].max()), kwargs["uniavgen"].interaction.value, kwargs["uniavgen"].skip_layer))
        return execute(x, t, *args, **kwargs)

    patched = golden_model.clone()
    patched.add_wrapper_with_key("diffusion_model", "record", record)
    steps = 7
    guider = guider_of(pack, patched, conditionings, guidance)
    host_result(guider, inputs, latent, release_sigmas(steps))
    null = [interaction for _, interaction, skipped in seen if skipped is not None]
    early = int(guidance.modality_aware_share * steps)
    assert null == ["off"] * early + ["both"] * (steps - early)
    assert len(seen) == 2 * steps


def test_equal_scales_of_one_cost_no_null_pass(pack, golden_model, inputs, conditionings, latent, guidance):
    calls = []
    patched = golden_model.clone()
    patched.add_wrapper_with_key("diffusion_model", "count", lambda run, *a, **k: (calls.append(1), run(*a, **k))[1])
    plain = replace(guidance, video_scale=1.0, audio_scale=1.0)
    host_result(
        guider_of(pack, patched, conditionings, plain),
        inputs,
        latent,
        release_sigmas(2),
    )
    assert len(calls) == 2


def test_kept_parts_come_back_bit_for_bit(pack, golden_model, conditionings, latent, guidance, inputs):
    guider = guider_of(pack, golden_model, conditionings, guidance)
    sampler = comfy.samplers.sampler_object("euler")
    with torch.inference_mode():
        result = pack.nodes.host.sampling.run_sampler.run_sampler(guider, sampler, release_sigmas(2), latent, seed=3)
    assert torch.equal(result["samples"].unbind()[0][:, :, :1], inputs["ref_image"])


def test_a_patch_replaces_a_layer(pack, golden_model, inputs, conditionings, latent, guidance):
    layers = []

    def skip(args, _):
        layers.append(args["transformer_options"]["block_index"])
        return args

    patched = golden_model.clone()
    patched.set_model_patch_replace(skip, "dit", "double_block", 2)
    plain = guider_of(pack, golden_model, conditionings, guidance)
    guider = guider_of(pack, patched, conditionings, guidance)
    one, other = (host_result(g, inputs, latent, release_sigmas(1)) for g in (plain, guider))
    assert set(layers) == {2}
    assert relative_error(one[0], other[0]) > 1e-3


def test_a_model_of_another_family_is_named(pack, golden_model):
    class WAN22:
        pass

    other = golden_model.clone()
    other.model = WAN22()
    with pytest.raises(ValueError, match=r"WAN22, not UniAVGen.*drops its audio half"):
        pack.nodes.host.model.load_model.require_uniavgen(other)
