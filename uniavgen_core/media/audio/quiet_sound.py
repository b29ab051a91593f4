"""Notices about quiet sounds, which are raised to the network's level."""

from math import log10

from ..sentence_subject import subject
from .mel import SILENT_PEAK, gain_to_peak
from .reference_voice import LONGEST_VOICE, SHORTEST_VOICE, missing_in_speech
from .sound import Sound, cut, peak_of, to_model_sound

NEAR_SILENCE_DB = -50.0
"""Peak below which speech lies near the noise of ordinary recordings."""
LARGE_GAIN = 10.0
"""Gain from which on a sound is looked through for speech: noise would be raised to the level of speech."""


def quiet_notices(sound: Sound, what: str) -> list[str]:
    """Say what becomes of a quiet sound; nothing of silence, of which ``check_user_sound`` tells.

    Args:
        sound: Any sound that ``check_user_sound`` accepts.
        what: What it is called in messages, such as ``"the sound"``.
    """
    peak, name = peak_of(sound), subject(what)
    if peak <= SILENT_PEAK:
        return []
    level = f"its loudest sample is at {20 * log10(peak):.0f} dB of full scale"
    raised = f"It is amplified by {20 * log10(gain_to_peak(peak)):.0f} dB for the model, noise included."
    if 20 * log10(peak) < NEAR_SILENCE_DB:
        return [f"{name} is nearly silent: {level}. {raised} Record it louder for a better result."]
    if gain_to_peak(peak) > LARGE_GAIN and sound.seconds >= SHORTEST_VOICE:
        beginning = to_model_sound(cut(sound, 0.0, LONGEST_VOICE))
        if missing_in_speech(beginning):
            return [f"{name} is quiet, and no speech could be detected in it: {level}. {raised}"]
    return []
