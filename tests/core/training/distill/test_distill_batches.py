"""Batches of a distillation: noise levels of each modality, and the teacher's guidance in all five tasks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.core.training.encoded_folders import NULL, encode
from tests.training_toys import TINY, ToyClips, tiny_model
from uniavgen_core.config import AfterShare, GuidanceConfig, Interaction
from uniavgen_core.diffusion.flow import denoised_to_velocity
from uniavgen_core.diffusion.guidance import NullPass
from uniavgen_core.pipeline import Denoiser, KeptLatents
from uniavgen_core.tasks import PAPER_TASKS
from uniavgen_core.text.tokenize import NULL_SPEECH
from uniavgen_core.training.batch_part import Part
from uniavgen_core.training.data.encoded_clips import SourceConfig, load_source
from uniavgen_core.training.distill.clip_flow import ClipFlow
from uniavgen_core.training.distill.distill_batches import DistillBatches, NoiseLevels
from uniavgen_core.training.distill.distill_config import DISTILL, DistillConfig, Method, ModalityConfig
from uniavgen_core.training.lora import LoraPlan, add_lora
from uniavgen_core.training.task_sampling import ShiftedUniform, TaskConfig

GUIDANCE = GuidanceConfig(3.0, 2.0, skip_layer=1)
CONFIG = DistillConfig(guidance=GUIDANCE)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Eight clips of two speakers, all with texts."""
    folder = encode(tmp_path_factory.mktemp("clips"), [("ab"[i % 2], 5, 2) for i in range(8)])
    return load_source(folder, TINY.text, SourceConfig(speech_dropout=0.0, caption_dropout=0.0))


def alone(task):
    """A sampler that draws one task only."""
    return TaskConfig(**{each.name: float(each is task) for each in PAPER_TASKS}, interaction_off=0.0)


def batches_of(source, task, config=CONFIG):
    return DistillBatches(source, alone(task), config, seed=3)


def both_null_passes(batches):
    """A batch of one clip for each null pass of the teacher."""
    plan, found = batches.config.guidance_plan, {}
    for step in range(60):
        batch = batches[Part(step, 0, 1)]
        sigma = batches.config.levels[batch.level].item()
        found.setdefault(plan.null_pass(sigma), (batch, sigma))
    return found


@pytest.mark.parametrize("task", PAPER_TASKS, ids=lambda task: task.name)
def test_the_teacher_predicts_what_the_sampler_predicts(source, task):
    model = tiny_model()
    add_lora(model, LoraPlan(rank=2))
    found = both_null_passes(batches_of(source, task))
    assert set(found) == {NullPass.WITHOUT_INTERACTION, NullPass.WITHOUT_TEXT}
    for null_pass, (batch, sigma) in found.items():
        clips, plan = batch.clips, CONFIG.guidance_plan
        kept = KeptLatents(clips.video, clips.audio, clips.video_keep_mask, clips.audio_keep_mask)
        null = replace(batch.null, interaction=clips.conditions.interaction, skip_layer=None)
        denoiser, flow = Denoiser(model, clips.conditions, null, kept, plan), ClipFlow(model, clips)
        at = torch.tensor([sigma])
        noisy = flow.noisy(flow.clean, batch.noise(0), at)
        with torch.no_grad():
            wanted = denoiser(noisy, sigma)
            got = flow.guided_velocity(noisy, at, batch.null, plan)
            plain = flow.velocity(noisy, at)
        for x, denoised, velocity, unguided in zip(noisy, wanted, got, plain, strict=True):
            expected = denoised_to_velocity(x, denoised, sigma)
            torch.testing.assert_close(velocity, expected, rtol=1e-3, atol=1e-4)
            assert (velocity - unguided).abs().max() > 1e-3, null_pass


@pytest.mark.parametrize("task", PAPER_TASKS, ids=lambda task: task.name)
def test_the_null_pass_is_of_the_same_clips_without_their_texts(source, task):
    for null_pass, (batch, _) in both_null_passes(batches_of(source, task)).items():
        told, null = batch.clips.conditions, batch.null
        assert (null.caption == NULL).any(2).any()
        assert not (told.caption == NULL).any()
        assert torch.equal(null.reference_image, told.reference_image)
        assert told.interaction is task.interaction
        off = null_pass is NullPass.WITHOUT_INTERACTION
        assert null.interaction is (Interaction.OFF if off else task.interaction)
        assert null.skip_layer == 1
        if task.reference_voice:
            assert torch.equal(null.reference_audio, told.reference_audio)
            assert not torch.equal(null.speech_ids, told.speech_ids)
        else:
            assert null.speech_ids[0, : len(NULL_SPEECH)].tolist() == list(NULL_SPEECH)


def test_without_guidance_there_is_no_null_pass():
    plain = replace(CONFIG, guidance=GuidanceConfig(1.0, 1.0))
    assert DistillBatches(ToyClips(), DISTILL.tasks, plain, 0)[Part(0, 0, 2)].null is None
    late = replace(CONFIG, guidance=replace(GUIDANCE, after_share=AfterShare.NONE))
    nulls = [DistillBatches(ToyClips(), DISTILL.tasks, late, 0)[Part(step, 0, 2)].null for step in range(40)]
    assert {null is None for null in nulls} == {True, False}


def test_all_clips_of_a_step_have_one_null_pass_at_levels_of_their_own():
    levels = NoiseLevels(CONFIG)
    own = [np.random.default_rng([1, i]) for i in range(16)]
    for step in range(20):
        drawn, null_pass = levels.draw(np.random.default_rng([2, step]), own)
        assert {levels.null_passes[level] for level in drawn.tolist()} == {null_pass}
        assert len(set(drawn.tolist())) > 3


@pytest.mark.parametrize("method", Method)
def test_each_modality_has_the_noise_levels_of_its_own_on_average(method):
    config = DistillConfig(method, video=ModalityConfig(shift=7.0), audio=ModalityConfig(shift=2.0))
    levels = NoiseLevels(config)
    shared = np.random.default_rng(0)
    drawn = torch.cat([levels.draw(shared, [shared] * 4)[0] for _ in range(5000)])
    sigma = config.levels[drawn]
    for shift, weight in zip((7.0, 2.0), levels.weights(drawn), strict=True):
        assert weight.mean() == pytest.approx(1.0, abs=0.03)
        own = ShiftedUniform(shift)
        expected = np.mean([own.draw(shared) for _ in range(20_000)])
        step = (config.levels[:-1] - config.levels[1:]).max().item()  # the level above stands for all below it
        assert (weight * sigma).mean() == pytest.approx(expected, abs=0.01 + step / 2)
    same = NoiseLevels(DistillConfig(method))
    assert all(torch.equal(weight, torch.ones(len(drawn))) for weight in same.weights(drawn))


@pytest.mark.parametrize("method", Method)
def test_a_batch_in_parts_is_the_whole_batch(source, method):
    config = DistillConfig(method, guidance=GUIDANCE)
    batches = DistillBatches(source, DISTILL.tasks, config, seed=5)
    for step in range(8):
        whole, *parts = (batches[Part(step, *place)] for place in ((0, 4), (0, 2), (2, 2)))
        assert {(part.turn, part.earlier, part.task) for part in parts} == {(whole.turn, whole.earlier, whole.task)}
        for name in ("level", "video_weight"):
            assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))
        for draw in range(len(whole.video_noise)):
            assert torch.equal(torch.cat([part.noise(draw)[0] for part in parts]), whole.noise(draw)[0])
            assert torch.equal(torch.cat([part.noise(draw)[1] for part in parts]), whole.noise(draw)[1])
        assert torch.equal(torch.cat([part.clips.video for part in parts]), whole.clips.video)


def test_draws_of_noise_are_independent():
    config = DistillConfig(Method.DISTRIBUTION)
    batch = max((DistillBatches(ToyClips(), DISTILL.tasks, config, 1)[Part(step, 0, 4)] for step in range(9)),
                key=lambda each: each.earlier)  # fmt: skip
    assert len(batch.video_noise) == batch.earlier + 2 > 3
    flat = torch.cat([batch.video_noise.flatten(2), batch.audio_noise.flatten(2)], 2).flatten(0, 1)
    correlations = torch.corrcoef(flat) - torch.eye(len(flat))
    assert correlations.abs().max() < 0.1
