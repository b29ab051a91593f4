"""The audio latent: a log-mel spectrogram of 24 kHz audio, 100 frames a second, 80 bins.

Always computed in float32: the release's bfloat16 transform is off by up to 1.6 normalised units on silence.
Source: the spectrogram of the UniAVGen release, on which its BigVGAN vocoder was trained.
Dimension key: N samples, K frequencies, M mel bins, F mel frames.
"""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ...shapes import HOP_LENGTH, MEL_BINS, SAMPLE_RATE

FFT_LENGTH = 1024
EDGE_PADDING = (FFT_LENGTH - HOP_LENGTH) // 2  # 392 a side: frame i is centred on the middle of its 240 samples.
LOWEST_HZ = 0.0
HIGHEST_HZ = 8_000.0
POWER_FLOOR = 1e-9
MEL_FLOOR = 1e-5
MEL_MEAN = -5.1753
MEL_STD = 2.1544
PEAK = 0.999146
SILENT_PEAK = 1e-4
"""Highest peak that counts as silence: -80 dB of full scale, three quantization steps of 16-bit audio."""


def slaney_hertz(mel: float) -> float:
    """Frequency of a value on Slaney's mel scale: linear to 1 kHz (mel 15), then 27 mels for every factor of 6.4."""
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def slaney_mel(hertz: float) -> float:
    """Inverse of ``slaney_hertz``."""
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000, 6.4)


@lru_cache(maxsize=1)
def mel_filters() -> Tensor:
    """Triangular mel filters of equal area.

    Computed in float64, because filters computed in float32 change the log-mel of nearly silent bands by 1e-4.

    Returns:
        Weights, (M, K) float32 on the CPU. Shared by all callers: do not write to it.

    Source: Slaney's Auditory Toolbox (1998), with librosa's default normalisation.
    """
    low, high = slaney_mel(LOWEST_HZ), slaney_mel(HIGHEST_HZ)
    corners = [slaney_hertz(low + (high - low) * i / (MEL_BINS + 1)) for i in range(MEL_BINS + 2)]
    corners = torch.tensor(corners, dtype=torch.float64)[:, None]
    hertz = torch.arange(FFT_LENGTH // 2 + 1, dtype=torch.float64) * SAMPLE_RATE / FFT_LENGTH
    left, top, right = corners[:-2], corners[1:-1], corners[2:]
    triangles = torch.minimum((hertz - left) / (top - left), (right - hertz) / (right - top)).clamp(min=0)
    return (triangles * 2 / (right - left)).float()


def check_sound(waveform: Tensor) -> None:
    """Reject samples (..., N) with a ValueError if they are empty, not floating point, or not finite."""
    if waveform.ndim == 0 or waveform.numel() == 0:
        raise ValueError(f"The waveform is empty: its shape is {tuple(waveform.shape)}.")
    if not waveform.is_floating_point():
        raise ValueError(f"The waveform is {waveform.dtype}; it must be floating point, in [-1, 1].")
    if not torch.isfinite(waveform).all():
        raise ValueError("The waveform holds values that are not finite.")


def check_log_mel(log_mel: Tensor, fewest_frames: int = 1) -> None:
    """Reject what is not a log-mel (B, M, F) with a ValueError: it has another shape, or is not finite."""
    if log_mel.ndim != 3 or log_mel.shape[1] != MEL_BINS or log_mel.shape[2] < fewest_frames or not len(log_mel):
        raise ValueError(
            f"A log-mel of shape {tuple(log_mel.shape)} cannot be decoded; expected (B, {MEL_BINS}, F), "
            f"F at least {fewest_frames}."
        )
    if not torch.isfinite(log_mel).all():
        raise ValueError("The log-mel holds values that are not finite.")


def complex_spectrum(waveform: Tensor) -> Tensor:
    """Complex spectrum, (B, F, K) with F = N // 240, of samples at 24 kHz, (B, N) with N > 392.

    Frames come before frequencies, other than in a mel, so that every transform runs over neighbouring numbers.
    """
    padded = F.pad(waveform[:, None], (EDGE_PADDING, EDGE_PADDING), mode="reflect")[:, 0]
    window = torch.hann_window(FFT_LENGTH, dtype=waveform.dtype, device=waveform.device)
    return torch.fft.rfft(padded.unfold(1, FFT_LENGTH, HOP_LENGTH) * window)


def magnitudes(waveform: Tensor) -> Tensor:
    """Magnitudes of the short-time Fourier transform of a waveform.

    Args:
        waveform: Samples at 24 kHz, (B, N) with N > 392.

    Returns:
        Magnitudes, at least the square root of the power floor, (B, K, F) with F = N // 240.
    """
    spectrum = complex_spectrum(waveform).mT
    return (spectrum.real.square() + spectrum.imag.square() + POWER_FLOOR).sqrt()


def log_mel(waveform: Tensor) -> Tensor:
    """Natural logarithm of the mel magnitudes, not normalised, (..., M, F) float32, F = N // 240.

    Args:
        waveform: Samples at 24 kHz, (..., N), any floating dtype; N must be above 392.

    Raises:
        ValueError: If the waveform is empty, too short to reflect at its edges, not floating point or not finite.
    """
    check_sound(waveform)
    num_samples = waveform.shape[-1]
    if num_samples <= EDGE_PADDING:
        raise ValueError(f"The waveform has {num_samples} samples; a spectrogram needs at least {EDGE_PADDING + 1}.")
    found = magnitudes(waveform.reshape(-1, num_samples).float())
    mel = mel_filters().to(found.device) @ found
    return mel.clamp(min=MEL_FLOOR).log().reshape(*waveform.shape[:-1], *mel.shape[1:])


def normalize_mel(log_mel: Tensor) -> Tensor:
    """Normalise a log-mel spectrogram of any shape to zero mean and unit variance over speech."""
    return (log_mel - MEL_MEAN) / MEL_STD


def normalized_mel(waveform: Tensor) -> Tensor:
    """Audio latent, (F, M) float32, F = N // 240, of samples at 24 kHz, (N,), N above 392."""
    return normalize_mel(log_mel(waveform)).T


@lru_cache(maxsize=1)
def silent_mel() -> Tensor:
    """Normalised mel frame of digital silence, (M,) float32. Shared by all callers: do not write to it."""
    return normalized_mel(torch.zeros(SAMPLE_RATE))[0]


def denormalize_mel(latent: Tensor) -> Tensor:
    """Undo ``normalize_mel``; any shape."""
    return latent * MEL_STD + MEL_MEAN


def gain_to_peak(peak: float) -> float:
    """Gain that brings a waveform to the network's level, the release's peak of 0.999146; 1 for silence."""
    return PEAK / peak if peak > SILENT_PEAK else 1.0


def rescale_volume(waveform: Tensor) -> Tensor:
    """Scale each row of samples (..., N) to a peak of 0.999146, as in the release; silence stays as it is.

    Raises:
        ValueError: If the waveform is empty, not floating point or not finite.
    """
    check_sound(waveform)
    peak = waveform.abs().amax(dim=-1, keepdim=True).double()
    gain = torch.where(peak > SILENT_PEAK, PEAK / peak, 1.0)
    return waveform * gain.to(waveform.dtype)
