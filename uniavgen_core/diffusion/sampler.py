"""Samplers of the flow from noise to data, for any number of tensors at once: Euler's method and consistency sampling.

Dimension key: N steps.
"""

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor

from .flow import denoised_to_velocity, mix

Latents = tuple[Tensor, ...]


def sample_euler(
    denoise: Callable[[Latents, float], Latents],
    noisy: Latents,
    sigmas: Tensor,
    on_step: Callable[[int, Latents], None] | None = None,
) -> Latents:
    """Follow the flow with Euler steps, to latents at ``sigmas[-1]``.

    Args:
        denoise: Estimates the clean latents from noisy ones at a noise level.
        noisy: Latents at ``sigmas[0]``, any shapes.
        sigmas: Falling noise levels, (N + 1,).
        on_step: Called after every step with its number, from 0, and the latents; an exception in it ends the run.

    Source: k-diffusion's Euler sampler (Karras et al., arXiv:2206.00364, algorithm 1, deterministic).
    """
    for step, (sigma, next_sigma) in enumerate(pairwise(sigmas.tolist())):
        denoised = denoise(noisy, sigma)
        pairs = zip(noisy, denoised, strict=True)
        noisy = tuple(x + denoised_to_velocity(x, clean, sigma) * (next_sigma - sigma) for x, clean in pairs)
        if on_step is not None:
            on_step(step, noisy)
    return noisy


def sample_lcm(
    denoise: Callable[[Latents, float], Latents],
    noisy: Latents,
    sigmas: Tensor,
    draw_noise: Callable[[], Latents],
) -> Latents:
    """Denoise in one go at each noise level, and mix the result with new noise for the next one.

    Args:
        denoise: Estimates the clean latents from noisy ones at a noise level.
        noisy: Latents at ``sigmas[0]``, any shapes.
        sigmas: Falling noise levels that end at 0, (N + 1,).
        draw_noise: Draws noise of the shapes of ``noisy``.

    Source: multistep consistency sampling (Song et al., arXiv:2303.01469, algorithm 1); ComfyUI's sampler ``lcm``.
    """
    for sigma, next_sigma in pairwise(sigmas.tolist()):
        noisy = denoise(noisy, sigma)
        if next_sigma > 0:
            noisy = tuple(mix(x, noise, next_sigma) for x, noise in zip(noisy, draw_noise(), strict=True))
    return noisy
