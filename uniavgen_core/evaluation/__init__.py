"""Measures on generated toon clips: does the mouth follow the sound, are the words the right ones."""

from .recogniser import WordRecogniser, recognise, train_recogniser, word_error_rate
from .report import measure, measure_ground_truth
from .sync import mouth_opening, sound_envelope

__all__ = [
    "WordRecogniser",
    "measure",
    "measure_ground_truth",
    "mouth_opening",
    "recognise",
    "sound_envelope",
    "train_recogniser",
    "word_error_rate",
]
