"""A reference voice: from a recording of someone speaking to the mel spectrogram that precedes the clip's.

Speech is recognised by three properties that silence, a hum, a tone or steady noise lacks: its loudness rises and falls
with the syllables, its spectral shape changes with them, and part of it is voiced. Five recordings and ten espeak-ng
clips, at full bandwidth, at 8 kHz and with white noise at -10 dB, have at least 3.7 dB, 0.6 and 0.5 s of these. The
check is no stricter than that: music can pass it.

Dimension key: N samples, R mel frames of the reference, F frames, L samples in a frame.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...shapes import MEL_RATE, SAMPLE_RATE
from .mel import SILENT_PEAK, log_mel, normalized_mel, rescale_volume
from .sound import Sound, at_rate, cut, to_model_sound
from .sound_checks import check_user_sound

SHORTEST_VOICE = 1.0
LONGEST_VOICE = 10.0
SILENCE_AFTER = 0.3
SILENCE_FRAMES = round(SILENCE_AFTER * MEL_RATE)
_NAME = "the reference voice"
_SEARCH_SECONDS = 2.0
_PAUSE_SECONDS = 0.05

_SPEECH_BINS = slice(5, 61)  # 220 to 3700 Hz: the band of a telephone, without mains hum.
_SYLLABLE_HZ = (2.0, 10.0)
_LEAST_LOUDNESS_VARIATION = 2.0
_LEAST_SPECTRAL_VARIATION = 0.5
_LEAST_VOICED = 0.05
_LOUD = 25.0  # Only frames within 25 dB of the loudest count.

_PITCH_RATE = 8_000
_PITCH_FRAME = 400
_PITCH_HOP = _PITCH_RATE // MEL_RATE
_PITCH_LAGS = slice(_PITCH_RATE // 400, _PITCH_RATE // 70)
_PERIODIC = 0.6


@dataclass(frozen=True)
class ReferenceVoice:
    """A reference voice in the network's format.

    Attributes:
        waveform: Samples at 24 kHz, peak 0.999146, without the silence that ``reference_mel`` appends, (N,) float32.
        notices: Whole sentences about changes to the user's sound and about its flaws.
    """

    waveform: Tensor
    notices: tuple[str, ...] = ()


def prepare_reference_voice(sound: Sound) -> ReferenceVoice:
    """Mix down, trim and rescale a recording of someone speaking, of at least 1 s.

    A sound of more than 10 s is cut at the quietest point between 8 and 10 s.

    Raises:
        ValueError: If the sound cannot be used, lasts less than 1 s, or has no speech in the part that would be used.
    """
    notices = check_user_sound(sound, _NAME)
    if sound.seconds < SHORTEST_VOICE:
        raise ValueError(
            f"The reference voice is {sound.seconds:.2f} s long; it must be {SHORTEST_VOICE:g} to {LONGEST_VOICE:g} s. "
            "Give a longer recording of the same speaker."
        )
    waveform = to_model_sound(cut(sound, 0.0, LONGEST_VOICE))
    if sound.seconds > LONGEST_VOICE:
        waveform = waveform[: _quietest_place(waveform)]
        used = len(waveform) / SAMPLE_RATE
        notices.append(f"The reference voice is {sound.seconds:.1f} s long; its first {used:.2f} s are used.")
    _check_speech(waveform)
    return ReferenceVoice(rescale_volume(waveform), tuple(notices))


def reference_mel(waveform: Tensor) -> Tensor:
    """Normalised mel of a prepared voice (N,) and 0.3 s of silence after it, (R, 80) float32, R = N // 240 + 30.

    Source: the UniAVGen release, which appends the silence before the transform.
    """
    silence = waveform.new_zeros(round(SILENCE_AFTER * SAMPLE_RATE))
    return normalized_mel(torch.cat([waveform, silence]))


def missing_in_speech(waveform: Tensor) -> str:
    """Reason why samples (N,) at 24 kHz, 1 s or more and not silent, are not speech; empty if they are.

    It is the end of a sentence.
    """
    level = rescale_volume(waveform - waveform.mean())
    mel = log_mel(level)[_SPEECH_BINS]
    if _loudness_variation(mel) < _LEAST_LOUDNESS_VARIATION:
        return "its loudness does not rise and fall as syllables do"
    if _spectral_variation(mel) < _LEAST_SPECTRAL_VARIATION:
        return "its timbre stays the same"
    if _voiced_seconds(level) < _LEAST_VOICED:
        return "nothing in it has the pitch of a voice"
    return ""


def _quietest_place(waveform: Tensor) -> int:
    """Index of the middle of the quietest 50 ms in the last 2 s of a waveform (N,); the last one of equals."""
    length, hop = round(_PAUSE_SECONDS * SAMPLE_RATE), SAMPLE_RATE // MEL_RATE
    start = len(waveform) - round(_SEARCH_SECONDS * SAMPLE_RATE)
    power = waveform[start:].unfold(0, length, hop).square().mean(1)
    quietest = len(power) - 1 - int(power.flip(0).argmin())
    return start + quietest * hop + length // 2


def _check_speech(waveform: Tensor) -> None:
    """Reject a waveform (N,) without speech."""
    if (waveform - waveform.mean()).abs().max() <= SILENT_PEAK:
        raise ValueError("The reference voice is silent. Give a recording of someone speaking.")
    missing = missing_in_speech(waveform)
    if missing:
        raise ValueError(
            f"No speech was found in the first {len(waveform) / SAMPLE_RATE:.1f} s of the reference voice: {missing}. "
            "Give a recording of someone speaking, 1 to 10 s, without music or loud noise."
        )


def _loudness(mel: Tensor) -> Tensor:
    """Loudness of every frame of a natural log-mel (bins, F), dB, (F,)."""
    return 10 * mel.exp().square().sum(0).log10()


def _loudness_variation(mel: Tensor) -> Tensor:
    """Variation of the loudness of a log-mel (bins, F) at the rate of syllables, dB RMS."""
    loudness = _loudness(mel)
    spectrum = torch.fft.rfft(loudness - loudness.mean())
    hertz = torch.fft.rfftfreq(len(loudness), 1 / MEL_RATE, device=mel.device)
    spectrum = torch.where((hertz >= _SYLLABLE_HZ[0]) & (hertz <= _SYLLABLE_HZ[1]), spectrum, 0)
    return torch.fft.irfft(spectrum, len(loudness)).std()


def _spectral_variation(mel: Tensor) -> Tensor:
    """Variation of the spectral shape over the loud frames of a log-mel (bins, F), natural log units."""
    loudness = _loudness(mel)
    return (mel - mel.mean(0))[:, loudness > loudness.max() - _LOUD].std(1).mean()


def _voiced_seconds(waveform: Tensor) -> float:
    """Duration over which a waveform (N,) is both loud and periodic at 70 to 400 Hz, seconds."""
    slow = at_rate(Sound(waveform[None], SAMPLE_RATE), _PITCH_RATE).waveform[0]
    frames = slow.unfold(0, _PITCH_FRAME, _PITCH_HOP)
    window = torch.hann_window(_PITCH_FRAME, device=waveform.device)
    own, ideal = _autocorrelation((frames - frames.mean(1, keepdim=True)) * window), _autocorrelation(window[None])
    power = own[:, :1].clamp(min=torch.finfo(own.dtype).tiny)
    periodic = (own / power / (ideal / ideal[:, :1]))[:, _PITCH_LAGS].amax(1) > _PERIODIC
    loud = 10 * (power / power.max()).log10()[:, 0] > -_LOUD
    return int((periodic & loud).sum()) * _PITCH_HOP / _PITCH_RATE


def _autocorrelation(frames: Tensor) -> Tensor:
    """Autocorrelation of frames (F, L) for lags 0 to L - 1, (F, L)."""
    length = frames.shape[1]
    return torch.fft.irfft(torch.fft.rfft(frames, 2 * length).abs().square(), 2 * length)[:, :length]
