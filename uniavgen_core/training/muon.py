"""Muon whose orthogonalisation runs in float32.

PyTorch's runs in bfloat16, which CPUs without instructions for it multiply twenty-five times slower: there it took most
of a training step. Everything else, the state and the learning rate's adjustment to a matrix's shape, is PyTorch's.
Source: Muon (Jordan et al., 2024).
"""

from collections.abc import Callable

import torch
from torch import Tensor


class Muon(torch.optim.Muon):
    """``torch.optim.Muon`` with the arithmetic of its matrices' dtype."""

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
