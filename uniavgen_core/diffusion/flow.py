"""Rectified flow: the conversions between clean data, noise, their mix, and the model's velocity.

``noisy = (1 - sigma) * clean + sigma * noise`` and ``velocity = noise - clean``.
Source: Liu et al., arXiv:2209.03003; sign as in ComfyUI's ``CONST``.
"""

from torch import Tensor


def mix(clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """Clean data (B, ...) mixed with Gaussian noise of its shape at noise level ``sigma`` in [0, 1], broadcastable."""
    return clean + sigma * (noise - clean)


def velocity_to_denoised(noisy: Tensor, velocity: Tensor, sigma: Tensor | float) -> Tensor:
    """Clean data as estimated from data (B, ...) at noise level ``sigma`` and the model's output, all of one shape."""
    return noisy - sigma * velocity


def denoised_to_velocity(noisy: Tensor, denoised: Tensor, sigma: Tensor | float) -> Tensor:
    """Velocity that leads from ``noisy`` away from ``denoised``, for ``sigma`` in (0, 1].

    The inverse of ``velocity_to_denoised``.
    """
    return (noisy - denoised) / sigma
