"""Tasks, noise levels and weights of the loss that training draws."""

import numpy as np
import pytest
import torch

from uniavgen_core.config import Interaction
from uniavgen_core.tasks import AUDIO_DRIVEN, DUBBING, JOINT, PAPER_TASKS, REFERENCE_VOICE
from uniavgen_core.training.batch_part import Part
from uniavgen_core.training.task_sampling import LogitNormal, ShiftedUniform, TaskConfig, TaskSample, sample_sigmas

FIVE = TaskConfig(joint=4, reference_voice=1, continuation=1, dubbing=2, audio_driven=2, interaction_off=0.25)


def own(count):
    return Part(0, 0, count).own(1)


def test_noise_levels_have_a_normal_logit():
    logits = torch.logit(sample_sigmas(LogitNormal(), own(8000)).double())
    quantiles = torch.quantile(logits, torch.tensor([0.1587, 0.5, 0.8413], dtype=torch.float64))
    torch.testing.assert_close(quantiles, torch.tensor([-0.2, 1.0, 2.2], dtype=torch.float64), atol=0.07, rtol=0)


def test_shifted_noise_levels_are_uniform_before_the_shift():
    shifted = sample_sigmas(ShiftedUniform(5.0), own(8000)).double()
    back = shifted / (5 - 4 * shifted)
    quantiles = torch.quantile(back, torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64))
    torch.testing.assert_close(quantiles, torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64), atol=0.02, rtol=0)
    with pytest.raises(ValueError, match="shift is 0"):
        ShiftedUniform(0)


def test_a_spread_of_zero_and_a_negative_shift_are_refused_and_any_positive_shift_is_taken():
    with pytest.raises(ValueError, match="std is 0"):
        LogitNormal(std=0.0)
    with pytest.raises(ValueError, match="shift is -1"):
        ShiftedUniform(-1)
    assert ShiftedUniform(0.5).shift == 0.5


def test_tasks_come_by_their_shares_and_only_joint_generation_without_interaction_or_texts():
    random, count = np.random.default_rng(0), 6000
    drawn = [FIVE.sample_task(random) for _ in range(count)]
    for task in PAPER_TASKS:
        assert np.mean([sample.task is task for sample in drawn]) == pytest.approx(task.share / 10, abs=0.02)
    off = [sample for sample in drawn if sample.interaction is Interaction.OFF]
    assert len(off) / count == pytest.approx(0.4 * 0.25, abs=0.015)
    assert {(sample.task, sample.text_dropout) for sample in off} == {(JOINT, 0.5)}
    others = [sample for sample in drawn if sample.interaction is not Interaction.OFF]
    assert {sample.text_dropout for sample in others} == {0.0}
    assert all(sample.interaction is sample.task.interaction for sample in others)
    assert {sample.task for sample in drawn if sample.has_voice} == {REFERENCE_VOICE}


def test_lengths_of_voices_come_by_their_shares_and_a_draw_takes_as_many_random_numbers_whatever_it_gives():
    random = np.random.default_rng(1)
    lengths = [TaskConfig().sample_task(random).voice_length for _ in range(3000)]
    np.testing.assert_allclose(np.bincount(lengths) / 3000, 1 / 3, atol=0.03)
    states = []
    for config in (TaskConfig(), TaskConfig(joint=0, dubbing=1), TaskConfig(interaction_off=1.0)):
        random = np.random.default_rng(2)
        config.sample_task(random)
        states.append(random.random())
    assert len(set(states)) == 1


def test_without_settings_only_joint_generation_is_learned_a_tenth_without_interaction_and_no_face_mask():
    random = np.random.default_rng(3)
    drawn = [TaskConfig().sample_task(random) for _ in range(3000)]
    assert {(sample.task, sample.audio_alone) for sample in drawn} == {(JOINT, False)}
    assert np.mean([sample.interaction is Interaction.OFF for sample in drawn]) == pytest.approx(0.1, abs=0.02)
    assert [TaskConfig().loss_weights(progress).mask for progress in (0.0, 0.5)] == [0, 0]


def test_the_weight_of_the_face_mask_changes_linearly():
    config = TaskConfig(mask_weight=0.2, mask_weight_end=0.1)
    assert [config.loss_weights(progress).mask for progress in (0.0, 0.5, 1.0)] == pytest.approx([0.2, 0.15, 0.1])


@pytest.mark.parametrize(
    ("task", "audio_alone", "learned"),
    [
        (JOINT, False, ("video", "audio")),
        (DUBBING, False, ("audio",)),
        (AUDIO_DRIVEN, False, ("video",)),
        (JOINT, True, ("audio",)),
    ],
)
def test_what_is_kept_whole_or_has_no_branch_in_training_is_not_learned(task, audio_alone, learned):
    assert TaskSample(task, task.interaction, audio_alone=audio_alone).learned == learned
