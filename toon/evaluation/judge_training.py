"""Training of the judges: AdamW with one cycle of the learning rate and a warm-up of 10 % of the steps."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

Judge = TypeVar("Judge", bound=nn.Module)


def new_judge(make: Callable[[], Judge], seed: int) -> Judge:
    """Make a judge with seeded initial weights, without changing the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def fit(
    model: Judge, loss_of: Callable[[], Tensor], steps: int, rate: float, decay: float = 0.01, clip: float | None = None
) -> Judge:
    """Train a judge.

    Args:
        model: The judge, trained in place.
        loss_of: Function that samples a batch and returns its loss, a scalar.
        steps: Training steps.
        rate: Peak learning rate.
        decay: Weight decay.
        clip: Largest gradient norm; None for no clipping.

    Returns:
        The judge in evaluation mode, without gradients.
    """
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        schedule.step()
    return model.eval().requires_grad_(False)
