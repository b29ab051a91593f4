"""All tasks the release has, sampled by ComfyUI through the pack's conditionings and masks, against its numbers."""

import comfy.samplers
import pytest
import torch
from comfy.nested_tensor import NestedTensor

from tests.nodes.pack_config import config_of_pack
from tests.parity.fixtures import SamplingCase, relative_error
from uniavgen_core.diffusion.flow import over_pixels
from uniavgen_core.diffusion.guidance import GuidancePlan
from uniavgen_core.model.joint import JointModel
from uniavgen_core.pipeline import BlendedDenoiser, Denoiser, KeptLatents, generate

TASKS = ("AVG", "RAVG", "A2V", "V2A")
SAME = 1e-5


def conditionings(pack, runs, case, surroundings="AUTO"):
    """Positive and negative CONDITIONING as the pack's nodes write them."""
    keys, texts = pack.nodes.host.conditioning.pass_settings, runs.info["meta"]["texts"]
    voice = case.cond.reference_audio
    speech = keys.Speech(texts["main"]) if voice is None else keys.Speech(texts["target"], texts["ref"])
    interaction, late = (pack.uniavgen_core.config.Interaction(x.interaction.value) for x in (case.cond, case.null))
    values = {
        keys.KEY: keys.PassSettings((speech,), interaction, late, surroundings=keys.Surroundings[surroundings]),
        keys.REFERENCE_IMAGE_KEY: case.cond.reference_image,
    }
    if voice is not None:
        values[keys.REFERENCE_VOICE_KEY] = voice[:, None]
    return [[case.cond.caption, values]], [[case.null.caption, {}]]


def masks_of(kept):
    video, audio = (~over_pixels(kept.video_keep)).float(), (~kept.audio_keep).float()
    return NestedTensor((video[:, None], audio[:, None, :, None]))


def sampled_by_comfyui(pack, runs, model, case, surroundings="AUTO"):
    """Video and audio that ComfyUI samples of a case with a MODEL."""
    guidance = config_of_pack(pack, case.config.guidance)
    entries = conditionings(pack, runs, case, surroundings)
    guider = pack.nodes.host.sampling.guided_sampling.make_guider(model, *entries, guidance)
    noise = NestedTensor((case.noise[0], case.noise[1][:, None]))
    clean = NestedTensor((case.kept.video, case.kept.audio[:, None]))
    with torch.inference_mode():
        sampled = guider.sample(
            noise, clean, comfy.samplers.sampler_object("euler"), case.sigmas, denoise_mask=masks_of(case.kept), seed=0
        )
    return tuple(part[0] for part in sampled.unbind())


def assert_ends_as_released(pack, runs, model, task, same=SAME):
    """Sample a task of the release with a MODEL; what is generated must be the release's. Gives the number of steps."""
    case = SamplingCase(runs, "float32", task)
    video, audio = sampled_by_comfyui(pack, runs, model, case)
    want = runs.under(f"{task}/")
    generated_video, generated_audio = ~case.kept.video_keep[0], ~case.kept.audio_keep[0]
    if generated_video.any():
        expected = want["final_raw.video"][:, generated_video]
        assert relative_error(video[:, generated_video], expected) < same
    if generated_audio.any():
        assert relative_error(audio[0][generated_audio], want["final_raw.audio"][generated_audio]) < same
    return len(case.sigmas) - 1


@pytest.mark.parametrize("task", TASKS)
def test_a_task_sampled_by_comfyui_ends_where_the_release_ends(pack, golden_runs, golden_model, task, float32):
    assert_ends_as_released(pack, golden_runs, golden_model, task, float32)


def case_with_a_region(golden_runs, first=1):
    """Joint generation in which all but a corner of the latents from a first one on is given."""
    case = SamplingCase(golden_runs, "float32", "AVG")
    around = torch.ones(1, *case.kept.video.shape[2:], dtype=torch.bool)
    around[:, first:, 2:, :2] = False
    clean = torch.randn(case.kept.video.shape, generator=torch.Generator().manual_seed(3))
    case.kept = KeptLatents(clean, case.kept.audio, around, case.kept.audio_keep)
    return case


def denoiser_of(golden_runs, golden_model, case):
    network = JointModel(golden_runs.config()).eval()
    network.load_state_dict(golden_model.model.diffusion_model.state_dict())
    return Denoiser(network, case.cond, case.null, case.kept, GuidancePlan.of(case.config.guidance, case.sigmas))


def test_a_region_with_clean_surroundings_is_sampled_by_comfyui_as_by_the_core(pack, golden_runs, golden_model):
    """There is no number of the release for it."""
    case = case_with_a_region(golden_runs)
    video, audio = sampled_by_comfyui(pack, golden_runs, golden_model, case, "CLEAN")
    kept, clean = case.kept.video_keep[0], case.kept.video[0]
    torch.testing.assert_close(video[:, kept], clean[:, kept], rtol=0, atol=1e-5)
    expected = generate(denoiser_of(golden_runs, golden_model, case), case.noise, case.sigmas)
    assert relative_error(video, expected[0][0]) < SAME
    assert relative_error(audio[0], expected[1][0]) < SAME


def test_blended_surroundings_are_sampled_by_comfyui_as_by_the_core_and_are_the_default_of_an_untrained_model(
    pack, golden_runs, golden_model
):
    case = case_with_a_region(golden_runs, first=0)
    denoiser = BlendedDenoiser(denoiser_of(golden_runs, golden_model, case), case.noise[0])
    expected = generate(denoiser, case.noise, case.sigmas)
    video, audio = sampled_by_comfyui(pack, golden_runs, golden_model, case, "BLENDED")
    assert relative_error(video, expected[0][0]) < SAME
    assert relative_error(audio[0], expected[1][0]) < SAME
    as_trained, _ = sampled_by_comfyui(pack, golden_runs, golden_model, case)
    assert torch.equal(as_trained, video)
    torch.testing.assert_close(video[:, 0], case.kept.video[0, :, 0], rtol=0, atol=1e-5)  # the first latent is kept
