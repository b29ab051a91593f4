"""The sampler node's presets: what they stand for, and that nothing else changes."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.nodes.graphs import GUIDANCE, Graph
from tests.nodes.test_stock_nodes import custom_sampling, differ, pictures_of  # noqa: F401 - fixture
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL
from uniavgen_core.checkpoint.own_sampling import OwnSampling
from uniavgen_core.checkpoint.weight_files import WeightFiles
from uniavgen_core.diffusion.sampling_presets import NO_GUIDANCE, PRESETS, SamplingPreset, Schedule
from uniavgen_core.diffusion.schedule import boundary_sigma, release_sigmas
from uniavgen_core.training.distill.distill_config import FEW_STEPS_KEY, DistillConfig


@pytest.fixture(scope="module")
def clip(studio):
    """Conditionings and latent of a short clip."""
    return studio.task("joint", image=studio.image(), seconds=0.5625).args[:3]


def sample(studio, clip, steps=2, shift=5.0, guidance=GUIDANCE, **choice):
    with torch.inference_mode():
        return studio.nodes.samplers.Sampler.execute(studio.model, *clip, 0, steps, shift, **guidance, **choice)


def equal(one, other):
    return all(map(torch.equal, one.args[0]["samples"].unbind(), other.args[0]["samples"].unbind()))


def test_a_preset_takes_the_place_of_steps_shift_and_sampler(studio, clip):
    made = sample(studio, clip, preset="fast")
    other = sample(studio, clip, 3, 1.0, sampler_name="heun", preset="fast")
    assert equal(made, other)
    assert not equal(made, sample(studio, clip))


def test_custom_is_what_the_widgets_say(studio, clip):
    plain = sample(studio, clip, 3, 2.0, sampler_name="heun")
    custom = sample(studio, clip, 3, 2.0, sampler_name="heun", preset="custom")
    assert equal(plain, custom)


def test_the_releases_preset_brings_its_guidance_and_the_others_leave_that_to_the_widgets(studio, clip, monkeypatch):
    presets = studio.nodes.sampling_widgets.PRESETS
    monkeypatch.setitem(presets, "release", replace(presets["release"], steps=2))
    release = sample(studio, clip, 1, 1.0, sampler_name="heun", preset="release")
    its_own = {"video_guidance": 3.0, "audio_guidance": 2.0, "skip_layer": 11}
    assert equal(release, sample(studio, clip, guidance=GUIDANCE | its_own))
    assert not equal(release, sample(studio, clip))
    fast = [sample(studio, clip, preset="fast", guidance=GUIDANCE | scales) for scales in ({}, its_own)]
    assert not equal(*fast)


def test_instant_samples_as_a_students_file_says_whatever_the_widgets_say(studio, clip):
    told = json.loads(DistillConfig(passes=4).metadata[FEW_STEPS_KEY])
    sigmas = studio.nodes.sampling_widgets.preset_sigmas(studio.nodes.sampling_widgets.PRESETS["instant"])
    assert sigmas.tolist() == pytest.approx(told["sigmas"], abs=1e-6)
    assert told["sampler"] == PRESETS["instant"].sampler
    its_own = {"video_guidance": 3.0, "audio_guidance": 2.0}
    made = sample(studio, clip, preset="instant")
    assert equal(made, sample(studio, clip, guidance=GUIDANCE | its_own, sampler_name="heun", preset="instant"))
    assert not equal(made, sample(studio, clip, preset="auto"))


def test_auto_samples_the_bundled_model_in_one_step_without_guidance(studio, clip):
    own = {"video_guidance": 1.0, "audio_guidance": 1.0, "skip_layer": 0}
    assert equal(sample(studio, clip, 9, 1.0, preset="auto"), sample(studio, clip, 1, 5.0, guidance=GUIDANCE | own))


def test_auto_samples_a_model_as_its_file_says(studio, pack, clip, tmp_path):
    files = WeightFiles(BUNDLED_MODEL)
    path = tmp_path / "taught.safetensors"
    save_file(load_file(BUNDLED_MODEL), path, files.metadata | OwnSampling(3, guided=False).metadata)
    taught = pack.nodes.host.model.load_model.load_uniavgen(str(path))
    with torch.inference_mode():
        made = studio.nodes.samplers.Sampler.execute(taught, *clip, 0, 9, 1.0, preset="auto", **GUIDANCE)
    own = {"video_guidance": 1.0, "audio_guidance": 1.0, "skip_layer": 0}
    assert equal(made, sample(studio, clip, 3, 5.0, guidance=GUIDANCE | own))


def test_auto_is_the_releases_preset_for_any_other_model(studio, golden_model):
    assert (
        studio.nodes.sampling_widgets.find_preset("auto", golden_model)
        is studio.nodes.sampling_widgets.PRESETS["release"]
    )


def test_the_parts_set_to_auto_sample_what_the_sampler_set_to_auto_does(pictures_of):  # noqa: F811
    graph = Graph()
    model, links = graph.get("UniAVGenSampler", "model"), graph.sampler_links()
    guider = graph.add("UniAVGenGuider", model=model, preset="auto", **links, **GUIDANCE)
    sigmas = graph.add("UniAVGenSigmas", model=model, preset="auto", steps=4, shift=1.0)
    parts = pictures_of(custom_sampling(graph, guider, sigmas))
    assert not differ(parts, pictures_of(Graph().set("UniAVGenSampler", preset="auto")))


def test_the_parts_set_to_auto_follow_the_release_for_any_other_model(studio, golden_model, monkeypatch):
    samplers, own = studio.nodes.samplers, studio.nodes.sampling_widgets.GuidanceConfig()
    monkeypatch.setattr(samplers, "make_guider", lambda *given: given[-1])
    monkeypatch.setattr(samplers, "patch_guidance", lambda *given: given[-1])
    assert samplers.Guider.execute(golden_model, [], [], "auto", **GUIDANCE).args == (own,)
    assert samplers.Guidance.execute(golden_model, "auto", **GUIDANCE).args == (own,)
    assert torch.equal(samplers.Sigmas.execute(golden_model, 3, 1.0, "auto").args[0], release_sigmas(50, 5.0))


@pytest.mark.parametrize("name", PRESETS)
def test_noise_levels_fall_from_noise_to_data_in_as_many_steps_as_the_preset_says(studio, name):
    sigmas = studio.nodes.host.sampling.run_sampler.preset_sigmas(studio.nodes.sampling_widgets.PRESETS[name])
    assert len(sigmas) == PRESETS[name].steps + 1
    assert float(sigmas[0]) == pytest.approx(1.0)
    assert float(sigmas[-1]) == 0
    assert (sigmas.diff() < 0).all()


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.guidance != NO_GUIDANCE])
def test_the_null_pass_changes_where_the_release_changes_it(studio, name):
    def change(sigmas):
        return boundary_sigma(sigmas, (len(sigmas) - 1) // 2)

    own = change(studio.nodes.host.sampling.run_sampler.preset_sigmas(studio.nodes.sampling_widgets.PRESETS[name]))
    assert own == pytest.approx(change(release_sigmas(50)), abs=0.04)


def test_presets_are_listed_from_the_dearest_to_the_cheapest():
    steps = [preset.steps for preset in PRESETS.values()]
    assert list(PRESETS) == ["release", "quality", "balanced", "fast", "instant"]
    assert steps == sorted(steps, reverse=True)


def test_a_preset_without_steps_is_refused():
    with pytest.raises(ValueError, match="steps is 0"):
        SamplingPreset(0, "euler", Schedule.RELEASE)


@pytest.mark.parametrize(("name", "guidance"), [("fast", {}), ("instant", {"video_guidance": 1, "audio_guidance": 1})])
def test_a_preset_equals_comfyuis_own_scheduler_and_sampler_in_a_real_graph(pictures_of, name, guidance):  # noqa: F811
    preset = PRESETS[name]
    ours = pictures_of(Graph().set("UniAVGenSampler", preset=name, **GUIDANCE))
    graph = Graph()
    model = graph.get("UniAVGenSampler", "model")
    own = GUIDANCE | guidance
    guider = graph.add("UniAVGenGuider", model=model, **graph.sampler_links(), preset="custom", **own)
    sigmas = graph.add("BasicScheduler", model=model, scheduler=preset.schedule.value, steps=preset.steps, denoise=1.0)
    graph = custom_sampling(graph, guider, sigmas)
    stock = pictures_of(graph.set("KSamplerSelect", sampler_name=preset.sampler))
    assert not differ(ours, stock)
