"""A user's sound that is kept in the clip: its mel spectrogram at the network's level, and notices if it is quiet.

Dimension key: C channels, N samples, S mel frames.
"""

from math import log10

import torch
from torch import Tensor

from ...shapes import HOP_LENGTH, mel_frames_of
from .mel import SILENT_PEAK, gain_to_peak, normalized_mel
from .reference_voice import LONGEST_VOICE, SHORTEST_VOICE, missing_in_speech
from .resample import mix_down
from .sound import Sound, cut, to_model_sound

NEAR_SILENCE_DB = -50.0
"""Peak in dB of full scale below which speech is close to the noise floor of ordinary recordings."""
LARGE_GAIN = 10.0
"""Gain above which the sound is checked for speech, because noise would be raised to the level of speech."""


def mel_of(sound: Sound, video_frames: int, gain: float | None = None) -> tuple[Tensor, float]:
    """Compute the mel spectrogram of a user's sound for a clip.

    Args:
        sound: Any sound that ``check_user_sound`` accepts.
        video_frames: Length of the clip; a shorter sound is padded with silence.
        gain: Factor from the sound's level to the network's; None to take it from the peak.

    Returns:
        Normalised mel spectrogram, (S, 80), and the gain.
    """
    waveform = to_model_sound(sound)
    gain = gain_to_peak(float(waveform.abs().max())) if gain is None else gain
    fitted = torch.zeros(mel_frames_of(video_frames) * HOP_LENGTH)
    length = min(len(fitted), len(waveform))
    fitted[:length] = gain * waveform[:length]
    return normalized_mel(fitted), gain


def peak_of(sound: Sound) -> float:
    """Peak of a sound after mixing down."""
    return float(mix_down(sound.waveform).abs().max())


def quiet_notices(sound: Sound, label: str) -> list[str]:
    """Notices about a quiet sound.

    Args:
        sound: Any sound that ``check_user_sound`` accepts.
        label: Its name in messages, such as ``"the sound"``.

    Returns:
        Whole sentences; none for a sound of ordinary level, and none for silence, which ``check_user_sound`` reports.
    """
    peak, name = peak_of(sound), label[:1].upper() + label[1:]
    if peak <= SILENT_PEAK:
        return []
    level = f"its loudest sample is at {20 * log10(peak):.0f} dB of full scale"
    raised = f"It is raised by {20 * log10(gain_to_peak(peak)):.0f} dB for the model, and its noise with it."
    if 20 * log10(peak) < NEAR_SILENCE_DB:
        return [f"{name} is nearly silent: {level}. {raised} Record it louder for a better result."]
    if gain_to_peak(peak) > LARGE_GAIN and sound.seconds >= SHORTEST_VOICE and _lacks_speech(sound):
        return [f"{name} is quiet, and no speech stands out in it: {level}. {raised}"]
    return []


def _lacks_speech(sound: Sound) -> bool:
    """Whether the first seconds of a sound, at most ``LONGEST_VOICE``, have no speech."""
    return bool(missing_in_speech(to_model_sound(cut(sound, 0.0, LONGEST_VOICE))))
