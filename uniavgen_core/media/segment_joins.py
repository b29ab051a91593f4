"""Joining the segments of a long clip, and the mask that softens the transitions.

Dimension key: N samples, S mel frames, F video frames, H and W pixel rows and columns.
"""

from collections.abc import Iterable, Iterator
from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor

from ..shapes import SAMPLE_RATE

RELAX_SAMPLES = SAMPLE_RATE
_AUDIBLE = 5e-3  # About -41 dB, weighted as in `_gain`. A pause has no level to match.
_LARGEST_GAIN = 4.0
_SQUARE, _NEAR = 16, 5
_RETURNED = 0.75
_STILL, _MOVED = 4.0, 8.0  # levels of 255: the VAE's own flicker, and what is a movement
_LEAST_CORRELATION = -0.5  # Below it, constant power would need more than twice the amplitude of both sounds.


def join_sounds(parts: list[Tensor], overlap: int, fade: int | None = None) -> Tensor:
    """Join the waveforms of segments, each of which begins with its own version of the end of the previous one.

    At the end of their overlap, segments crossfade at constant power for any correlation: identical sounds crossfade
    linearly and do not double, and uncorrelated sounds crossfade at equal power and do not dip. The later segment takes
    the level of the earlier one in their overlap, and returns to its own within a second.

    Args:
        parts: Waveforms at one rate, (N_i,) each.
        overlap: Samples that neighbours share; 0 to put them end to end.
        fade: Samples of the crossfade, at the end of the overlap; None for all of it.

    Returns:
        The joined waveform, (sum of N_i - overlap * (parts - 1),).

    Raises:
        ValueError: If a part is not longer than the overlap.
    """
    for index, part in enumerate(parts):
        _check_length(part, index, overlap)
    fade = overlap if fade is None else min(fade, overlap)
    joined, tail = [], parts[0]
    for part in parts[1:]:
        gain = _gain(tail[len(tail) - overlap :], part[:overlap])
        joined.append(tail[: len(tail) - fade])
        tail = _joined_tail(tail[len(tail) - fade :], part[overlap - fade :], gain)
    return torch.cat([*joined, tail])


def join_frames(parts: Iterable[Tensor], overlap: int) -> Iterator[Tensor]:
    """Join the frames of segments, each of which begins with its own version of the end of the previous one.

    Pictures jump a little where a segment's shared frames end and its own begin: there the jump between two frames is
    halved, a quarter of each is blended into the other. At most two segments are in memory at a time.

    Args:
        parts: Frames, floating point, (F_i, H, W, 3) each.
        overlap: Frames that neighbours share and crossfade over; 0 to put them end to end.

    Yields:
        The joined frames one by one, (H, W, 3), sum of F_i - overlap * (parts - 1) of them.

    Raises:
        ValueError: If a part is not longer than the overlap.
    """
    held: Tensor | None = None
    count = max(overlap, 1)
    for index, part in enumerate(parts):
        _check_length(part, index, overlap)
        joined = part if held is None else _joined_frames(held, part, overlap)
        yield from joined[:-count]
        held = joined[-count:].clone()
    if held is not None:
        yield from held


def _joined_frames(held: Tensor, part: Tensor, overlap: int) -> Tensor:
    """The last frames of one segment, crossfaded into the next, with a softened seam before that one's own frames."""
    shared = held
    if overlap:
        weights = (torch.arange(overlap, dtype=part.dtype, device=part.device) + 1) / (overlap + 1)
        shared = torch.lerp(held, part[:overlap], weights[:, None, None, None])
    joined = torch.cat([shared, part[overlap:]])
    seam = len(shared)
    before, after = joined[seam - 1].clone(), joined[seam].clone()
    joined[seam - 1], joined[seam] = torch.lerp(before, after, 0.25), torch.lerp(after, before, 0.25)
    return joined


def with_kept_look(frames: Tensor, kept: Tensor) -> Tensor:
    """Correct the colours of a segment, and its fine detail where it stands still, by the error of its kept frames.

    Kept frames pass the codec and the network once more with every segment; without the correction, colours drift and
    outlines soften.

    Args:
        frames: The segment, its own version of the kept frames first, (F, H, W, 3) uint8.
        kept: The kept frames as they were before, (K, H, W, 3) uint8.

    Returns:
        The segment, (F, H, W, 3) uint8. The mean error over the kept frames and over squares of 16 pixels is taken off
        all of it. Of the rest of the mean error, three quarters are taken off where pictures are as they are on average
        in the kept frames: nothing that moves leaves a trace, and grain of the codec fades, which otherwise piles up.
    """
    own = frames[: len(kept)].float()
    error, before = (kept.float() - own).mean(0), own.mean(0)
    coarse = F.avg_pool2d(error.permute(2, 0, 1)[None], _SQUARE, ceil_mode=True)
    smooth = F.interpolate(coarse, size=frames.shape[1:3], mode="bilinear", align_corners=False)[0].permute(1, 2, 0)
    moving = torch.maximum(_apart(own, before).mean(0), _apart(kept.float(), kept.float().mean(0)).mean(0))
    corrected = torch.empty_like(frames)
    for number, frame in enumerate(map(Tensor.float, frames)):
        still = ((_MOVED - torch.maximum(moving, _apart(frame[None], before)[0])) / (_MOVED - _STILL)).clamp(0, 1)
        corrected[number] = (frame + smooth + _RETURNED * still[..., None] * (error - smooth)).round().clamp(0, 255)
    return corrected


def _apart(frames: Tensor, other: Tensor) -> Tensor:
    """Difference of pictures (F, H, W, 3) from another one, (F, H, W): the largest of a colour, over a few pixels."""
    difference = (frames - other).abs().amax(-1)
    return F.avg_pool2d(difference[:, None], _NEAR, stride=1, padding=_NEAR // 2, count_include_pad=False)[:, 0]


def trailing_ramp(length: int, ramp: int) -> Tensor:
    """Noise mask of a kept prefix with a soft end, so that the next segment does not begin at a hard edge.

    Args:
        length: Mel frames of the prefix.
        ramp: Number of its last frames that are partly generated.

    Returns:
        Noise mask, 0 (kept) and rising smoothly towards 1 over the last ``ramp`` frames, (S,).
    """
    rise = torch.sin(torch.linspace(0, pi / 2, ramp + 2)[1:-1]).square()
    return torch.cat([torch.zeros(length - ramp), rise])


def _check_length(part: Tensor, index: int, overlap: int) -> None:
    """Reject a segment that is too short for the overlap."""
    if len(part) <= overlap:
        raise ValueError(
            f"Part {index + 1} to be joined has shape {tuple(part.shape)}; it must be longer than the overlap of "
            f"{overlap}. Make its segment longer, or the overlap shorter."
        )


def _joined_tail(tail: Tensor, part: Tensor, gain: float) -> Tensor:
    """Crossfade the end of one segment into the next (N,), whose gain returns to 1 within a second."""
    overlap = len(tail)
    if overlap == 0:
        return part
    fade_in = _rise(tail)
    fade_out = 1 - fade_in
    head = part[:overlap]
    relax = min(RELAX_SAMPLES, len(part) - overlap)
    steps = (torch.arange(len(part), dtype=part.dtype, device=part.device) - overlap).clamp(min=0) / relax
    part = part * gain ** (1 - steps).clamp(min=0)
    power = (fade_out.square() + fade_in.square() + 2 * _correlation(tail, head) * fade_out * fade_in).sqrt()
    return torch.cat([(fade_out * tail + fade_in * part[:overlap]) / power, part[overlap:]])


def _rise(like: Tensor) -> Tensor:
    """Linear ramp from 0 to 1, (N,)."""
    return (torch.arange(len(like), dtype=like.dtype, device=like.device) + 0.5) / len(like)


def _gain(tail: Tensor, head: Tensor) -> float:
    """Gain that gives the later sound the level of the earlier one over their overlap.

    The levels are weighted by the fade-in; otherwise a segment that fades in from silence would become too loud.
    """
    if len(tail) == 0:
        return 1.0
    levels = [(_rise(tail) * sound).square().mean().sqrt().item() for sound in (tail, head)]
    if min(levels) < _AUDIBLE:
        return 1.0
    return min(max(levels[0] / levels[1], 1 / _LARGEST_GAIN), _LARGEST_GAIN)


def _correlation(tail: Tensor, head: Tensor) -> float:
    """Correlation of two waveforms, 1 for identical ones; 0 if one is silent."""
    scale = (tail.square().sum() * head.square().sum()).sqrt().item()
    return max((tail * head).sum().item() / scale, _LEAST_CORRELATION) if scale > 0 else 0.0
