"""Levels of sounds, and places in them, as tests compare them."""

from math import log10

import torch

QUIETEST_DB = -120.0


def rms_db(waveform):
    """Level of samples, dB of full scale, not below -120."""
    power = waveform.double().square().mean().item() if waveform.numel() else 0.0
    return max(QUIETEST_DB, 10 * log10(power)) if power else QUIETEST_DB


def sample_mask(spans, samples, sample_rate):
    """Which samples lie in spans, bool (N,)."""
    mask = torch.zeros(samples, dtype=torch.bool)
    for first, stop in spans.sample_ranges(samples, sample_rate):
        mask[first:stop] = True
    return mask


def gaps(spans, seconds):
    """Start and stop of what lies between spans, from 0 to ``seconds``."""
    inside = spans.clipped(seconds).pairs
    starts, stops = [0.0, *(stop for _, stop in inside)], [*(start for start, _ in inside), float(seconds)]
    return [(start, stop) for start, stop in zip(starts, stops, strict=True) if stop > start]
