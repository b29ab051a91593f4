"""Rectified flow: the conversions between clean data, noise, their mix, and the model's velocity.

``noisy = (1 - sigma) * clean + sigma * noise`` and ``velocity = noise - clean``.
Source: Liu et al., arXiv:2209.03003; sign as in ComfyUI's ``CONST``.
"""

from torch import Tensor


def mix(clean: Tensor, noise: Tensor, sigma: Tensor | float) -> Tensor:
    """Mix clean data with noise.

    Args:
        clean: Clean data, (B, ...).
        noise: Gaussian noise, same shape.
        sigma: Noise level in [0, 1], broadcastable to ``clean``.

    Returns:
        Data at noise level ``sigma``, shape of ``clean``.
    """
    return clean + sigma * (noise - clean)


def velocity_to_denoised(noisy: Tensor, velocity: Tensor, sigma: Tensor | float) -> Tensor:
    """Estimate clean data from one model output.

    Args:
        noisy: Data at noise level ``sigma``, (B, ...).
        velocity: Model output, same shape.
        sigma: Noise level in [0, 1], broadcastable.

    Returns:
        Estimated clean data, same shape.
    """
    return noisy - sigma * velocity


def denoised_to_velocity(noisy: Tensor, denoised: Tensor, sigma: Tensor | float) -> Tensor:
    """Velocity that leads from ``noisy`` away from ``denoised``; the inverse of ``velocity_to_denoised``.

    Args:
        noisy: Data at noise level ``sigma``, (B, ...).
        denoised: Estimated clean data, same shape.
        sigma: Noise level in (0, 1], broadcastable.

    Returns:
        Velocity, same shape.
    """
    return (noisy - denoised) / sigma


def over_pixels(values: Tensor) -> Tensor:
    """Values of latents (B, T), or of latent pixels (B, T, H, W), in a shape that spreads over (B, T, H, W)."""
    return values if values.ndim > 2 else values[:, :, None, None]
