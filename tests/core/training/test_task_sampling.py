"""The noise levels that training draws."""

import pytest
import torch

from uniavgen_core.training.batch_part import Part
from uniavgen_core.training.task_sampling import LogitNormal, ShiftedUniform, sample_sigmas


def own(count):
    return Part(0, 0, count).own(1)


def test_noise_levels_have_a_normal_logit():
    logits = torch.logit(sample_sigmas(LogitNormal(1.0, 1.2), own(8000)).double())
    quantiles = torch.quantile(logits, torch.tensor([0.1587, 0.5, 0.8413], dtype=torch.float64))
    torch.testing.assert_close(quantiles, torch.tensor([-0.2, 1.0, 2.2], dtype=torch.float64), atol=0.07, rtol=0)


def test_shifted_noise_levels_are_uniform_before_the_shift():
    shifted = sample_sigmas(ShiftedUniform(5.0), own(8000)).double()
    back = shifted / (5 - 4 * shifted)
    quantiles = torch.quantile(back, torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64))
    torch.testing.assert_close(quantiles, torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64), atol=0.02, rtol=0)
    with pytest.raises(ValueError, match="shift is 0"):
        ShiftedUniform(0)
