"""Sound that a user gave and the network keeps: brought to the network's level, of which a user is told if it is quiet.

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
"""Peak below which speech lies near the noise of ordinary recordings."""
LARGE_GAIN = 10.0
"""Gain from which on a sound is looked through for speech: noise would be raised to the level of speech."""


def mel_of(sound: Sound, video_frames: int, gain: float | None = None) -> tuple[Tensor, float]:
    """Turn a user's sound into the mel of a clip.

    Args:
        sound: Any sound that ``check_user_sound`` accepts.
        video_frames: Length of the clip; where the sound ends earlier, silence follows it.
        gain: Factor from the sound's level to the network's; None for the one that its peak asks for.

    Returns:
        Normalised mel, (S, 80), and the gain.
    """
    waveform = to_model_sound(sound)
    gain = gain_to_peak(float(waveform.abs().max())) if gain is None else gain
    fitted = torch.zeros(mel_frames_of(video_frames) * HOP_LENGTH)
    length = min(len(fitted), len(waveform))
    fitted[:length] = gain * waveform[:length]
    return normalized_mel(fitted), gain


def peak_of(sound: Sound) -> float:
    """Loudest sample of a sound once it is mixed down."""
    return float(mix_down(sound.waveform).abs().max())


def quiet_notices(sound: Sound, what: str) -> list[str]:
    """Say what becomes of a quiet sound.

    Args:
        sound: Any sound that ``check_user_sound`` accepts.
        what: What it is called in messages, such as ``"the sound"``.

    Returns:
        Notices, whole sentences; none for a sound of ordinary level, and none for silence, of which
        ``check_user_sound`` tells.
    """
    peak, name = peak_of(sound), what[:1].upper() + what[1:]
    if peak <= SILENT_PEAK:
        return []
    level = f"its loudest sample is at {20 * log10(peak):.0f} dB of full scale"
    raised = f"It is raised by {20 * log10(gain_to_peak(peak)):.0f} dB for the model, and its noise with it."
    if 20 * log10(peak) < NEAR_SILENCE_DB:
        return [f"{name} is nearly silent: {level}. {raised} Record it louder for a better result."]
    if gain_to_peak(peak) > LARGE_GAIN and sound.seconds >= SHORTEST_VOICE and _lacks_speech(sound):
        return [f"{name} is quiet, and no speech stands out of it: {level}. {raised}"]
    return []


def _lacks_speech(sound: Sound) -> bool:
    """Whether the beginning of a sound, as much as of a reference voice, has no speech."""
    return bool(missing_in_speech(to_model_sound(cut(sound, 0.0, LONGEST_VOICE))))
