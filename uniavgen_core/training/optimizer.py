"""The optimizers and their weights: Muon trains the matrices of the blocks, AdamW all other weights.

Source: Muon (Jordan et al., 2024) as in ``torch.optim.Muon``; on two CPU cores it halved the word error at equal time.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

BLOCKS = ("blocks.", "audio_blocks.", "a2v_blocks.", "v2a_blocks.")
MASK_HEAD = "mask_head"


@dataclass(frozen=True)
class OptimizerConfig:
    """Peak learning rates and the rest.

    Attributes:
        muon_rate: Peak learning rate of Muon.
        muon_decay: Weight decay of Muon.
        muon_momentum: Momentum of Muon.
        newton_schulz_steps: Iterations of Muon's orthogonalisation.
        rate: Peak learning rate of AdamW.
        betas: Decay rates of AdamW.
        decay: Weight decay of AdamW.
    """

    muon_rate: float = 0.02
    muon_decay: float = 0.01
    muon_momentum: float = 0.95
    newton_schulz_steps: int = 4
    rate: float = 1.5e-3
    betas: tuple[float, float] = (0.9, 0.98)
    decay: float = 0.0


class Muon(torch.optim.Muon):
    """``torch.optim.Muon``, orthogonalising in its matrices' dtype; state and rate adjustment are PyTorch's.

    PyTorch's runs in bfloat16, which CPUs without instructions for it multiply twenty-five times slower: there it took
    most of a training step.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Take one step; matrices without a gradient stay as they are."""
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(matrix)
                average = state["momentum_buffer"]
                average.lerp_(matrix.grad, 1 - momentum)
                update = matrix.grad.lerp(average, momentum) if group["nesterov"] else average
                rows, columns = matrix.shape
                matrix.mul_(1 - rate * group["weight_decay"])
                direction = orthogonalized(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
                matrix.add_(direction, alpha=-rate * max(1.0, rows / columns) ** 0.5)
        return loss


def orthogonalized(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Bring all singular values of a matrix near 1 by Newton and Schulz's iteration, (rows, columns).

    Args:
        matrix: (rows, columns), any scale.
        coefficients: Of the odd polynomial of degree five that each step applies to the singular values.
        steps: Number of steps.
        eps: Least norm that is divided by.
    """
    linear, cubic, quintic = coefficients
    result = matrix / matrix.norm().clamp(min=eps)
    wide = result if len(matrix) <= matrix.shape[1] else result.mT
    for _ in range(steps):
        gram = wide @ wide.mT
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=cubic, alpha=quintic), wide, beta=linear)
    return wide if len(matrix) <= matrix.shape[1] else wide.mT


def split_parameters(model: nn.Module) -> tuple[list[str], list[str]]:
    """Names of the parameters that Muon trains and of those that AdamW trains; together, every one that is trained."""
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        chosen = name.startswith(BLOCKS) and parameter.ndim == 2 and MASK_HEAD not in name
        (matrices if chosen else others).append(name)
    return matrices, others


def make_optimizers(model: nn.Module, config: OptimizerConfig) -> list[Optimizer]:
    """Make both optimizers for a ``JointModel``.

    Args:
        model: The network; its parameters must be initialised.
        config: Rates.

    Returns:
        Muon and AdamW.
    """
    matrices, others = split_parameters(model)
    muon = Muon(
        [model.get_parameter(name) for name in matrices],
        lr=config.muon_rate,
        weight_decay=config.muon_decay,
        momentum=config.muon_momentum,
        ns_steps=config.newton_schulz_steps,
    )
    adam = AdamW(
        [model.get_parameter(name) for name in others], lr=config.rate, betas=config.betas, weight_decay=config.decay
    )
    return [muon, adam]


def start_states(optimizer: Optimizer) -> None:
    """Give every weight the state it has before its first gradient.

    Sharded states are loaded whole, so a weight that no step has reached yet must have one too.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    for state in optimizer.state.values():
        state["step"].zero_()
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
