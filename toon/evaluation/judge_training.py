"""How every judge is trained: AdamW at a rate that rises for a tenth of the steps and falls to zero."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

Judge = TypeVar("Judge", bound=nn.Module)


def new_judge(make: Callable[[], Judge], seed: int) -> Judge:
    """Make a judge from seeded starting weights; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def fit(
    model: Judge, loss_of: Callable[[], Tensor], steps: int, rate: float, decay: float = 0.01, clip: float | None = None
) -> Judge:
    """Train a judge.

    Args:
        model: The judge; holds the result.
        loss_of: Draws a batch and gives its loss, a scalar.
        steps: Training steps.
        rate: Peak learning rate.
        decay: Weight decay.
        clip: Largest norm of the gradient; None for any.

    Returns:
        The judge, ready to judge.
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
