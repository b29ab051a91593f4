"""All tasks the release has, sampled by ComfyUI through the pack's conditionings and masks, against its numbers."""

import comfy.samplers
import pytest
import torch
from comfy.nested_tensor import NestedTensor

from tests.nodes.pack_config import config_of_pack
from tests.parity.fixtures import SamplingCase, relative_error

TASKS = ("AVG", "RAVG", "A2V", "V2A")
SAME = 1e-5


def conditionings(pack, runs, case):
    """Positive and negative CONDITIONING as the pack's nodes write them."""
    keys, texts = pack.nodes.host.conditioning.pass_settings, runs.info["meta"]["texts"]
    voice = case.cond.reference_audio
    speech = keys.Speech(texts["main"]) if voice is None else keys.Speech(texts["target"], texts["ref"])
    interaction, late = (pack.uniavgen_core.config.Interaction(x.interaction.value) for x in (case.cond, case.null))
    values = {
        keys.KEY: keys.PassSettings((speech,), interaction, late_null=late),
        keys.REFERENCE_IMAGE_KEY: case.cond.reference_image,
    }
    if voice is not None:
        values[keys.REFERENCE_VOICE_KEY] = voice[:, None]
    return [[case.cond.caption, values]], [[case.null.caption, {}]]


def masks_of(kept):
    video, audio = ((~mask).float() for mask in (kept.video_keep, kept.audio_keep))
    return NestedTensor((video[:, None, :, None, None], audio[:, None, :, None]))


def sampled_by_comfyui(pack, runs, model, case):
    """Video and audio that ComfyUI samples of a case with a MODEL."""
    guidance = config_of_pack(pack, case.config.guidance)
    guider = pack.nodes.host.sampling.guided_sampling.make_guider(model, *conditionings(pack, runs, case), guidance)
    noise = NestedTensor((case.noise[0], case.noise[1][:, None]))
    clean = NestedTensor((case.kept.video, case.kept.audio[:, None]))
    with torch.inference_mode():
        sampled = guider.sample(
            noise, clean, comfy.samplers.sampler_object("euler"), case.sigmas, denoise_mask=masks_of(case.kept), seed=0
        )
    return tuple(part[0] for part in sampled.unbind())


def assert_ends_as_released(pack, runs, model, task):
    """Sample a task of the release with a MODEL; what is generated must be the release's. Gives the number of steps."""
    case = SamplingCase(runs, "float32", task)
    video, audio = sampled_by_comfyui(pack, runs, model, case)
    want = runs.under(f"{task}/")
    generated_video, generated_audio = ~case.kept.video_keep[0], ~case.kept.audio_keep[0]
    if generated_video.any():
        expected = want["final_raw.video"][:, generated_video]
        assert relative_error(video[:, generated_video], expected) < SAME
    if generated_audio.any():
        assert relative_error(audio[0][generated_audio], want["final_raw.audio"][generated_audio]) < SAME
    return len(case.sigmas) - 1


@pytest.mark.parametrize("task", TASKS)
def test_a_task_sampled_by_comfyui_ends_where_the_release_ends(pack, golden_runs, golden_model, task):
    assert_ends_as_released(pack, golden_runs, golden_model, task)
