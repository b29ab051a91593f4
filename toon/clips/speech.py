"""Speech of the toons: eight voices, three emotions, one speaking rate.

The timing is fixed (one rate for all voices and emotions, a constant leading silence, no jitter), so that the position
of a letter in the transcript nearly determines its time: the middle of letter ``i`` lies near mel frame
``TEXT_POSITION_OFFSET + TEXT_POSITION_SCALE * i``. Both constants are a least-squares fit over the letters of 2,000
clips of 33 frames, letters spread evenly over their word's time; the residual is 5.3 mel frames
(root mean square), about one letter.

Dimension key: N samples, F video frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import torch
import torchaudio.functional

from uniavgen_core.shapes import FPS, SAMPLE_RATE

from .articulation import articulate
from .espeak import Utterance, say
from .sentence import draw_sentence

VOICES = ("en-us+m1", "en-us+m2", "en-us+m7", "en-us+Michael", "en-us+f2", "en-us+f3", "en-us+f5", "en-us+Annie")
FEMALE_VOICES = range(4, 8)
TEXT_POSITION_OFFSET = 13.3
TEXT_POSITION_SCALE = 5.97
PEAK = 0.999146
LEAD_SECONDS = 0.12
_RATE = 180
_NOISE_FLOOR = 0.001
_SPEECH_STREAM = 0


class Emotion(IntEnum):
    """Emotion of a toon, expressed in pitch and drive and in brows, eyes and mouth corners."""

    CALM = 0
    HAPPY = 1
    ANGRY = 2


@dataclass(frozen=True)
class _Manner:
    """Sound of an emotion: base pitch and pitch range (0 to 99), and drive, the gain into soft clipping."""

    pitch: int
    pitch_range: int
    drive: float


_MANNERS = {
    Emotion.CALM: _Manner(pitch=40, pitch_range=30, drive=0.5),
    Emotion.HAPPY: _Manner(pitch=66, pitch_range=90, drive=1.5),
    Emotion.ANGRY: _Manner(pitch=48, pitch_range=75, drive=4.0),
}


@dataclass(frozen=True)
class ToonSpeech:
    """Waveform of a clip and the matching mouth movement.

    Attributes:
        waveform: Samples at 24 kHz, float32 with peak 0.999146, (N,).
        mouth_open: Opening of the mouth in every video frame, float32 in [0, 1], (F,).
        mouth_spread: Spread of the mouth, 0 round to 1 wide, float32, (F,).
        letter_seconds: Time of the middle of every character of the transcript, seconds, float32, (characters,).
        voice: Index into ``VOICES``.
        emotion: One of ``Emotion``.
        end: End of the speech, seconds; 0 without speech.
    """

    waveform: np.ndarray
    mouth_open: np.ndarray
    mouth_spread: np.ndarray
    letter_seconds: np.ndarray
    transcript: str
    voice: int
    emotion: int
    end: float = 0.0


@dataclass(frozen=True)
class Line:
    """A sentence and its start in seconds; the first sound comes ``LEAD_SECONDS`` later."""

    transcript: str
    start: float = 0.0


def speak(transcript: str, voice: int, emotion: int, video_frames: int = 33, seed: int = 0) -> ToonSpeech:
    """Speak a transcript.

    Args:
        transcript: The sentence.
        voice: Index into ``VOICES``.
        emotion: One of ``Emotion``.
        video_frames: Length of the clip at 16 fps.
        seed: Seed of the noise floor.

    Returns:
        The clip's sound and mouth movement.

    Raises:
        ValueError: If the clip is too short for the transcript, or voice or emotion are unknown.
    """
    return recite([Line(transcript)], voice, emotion, video_frames, seed)


def recite(lines: Sequence[Line], voice: int, emotion: int, video_frames: int = 33, seed: int = 0) -> ToonSpeech:
    """Speak any number of sentences at given times.

    Args:
        lines: Sentences with their times, in order; they should not overlap.
        voice: Index into ``VOICES``.
        emotion: One of ``Emotion``.
        video_frames: Length of the clip at 16 fps.
        seed: Seed of the noise floor.

    Returns:
        The clip's sound and mouth movement; its transcript is all sentences, joined by spaces. Without sentences, the
        sound is the noise floor.

    Raises:
        ValueError: If the clip is too short for a sentence, or voice or emotion are unknown.
    """
    if not 0 <= voice < len(VOICES):
        raise ValueError(f"voice is {voice}; it must be 0 to {len(VOICES) - 1}.")
    manner, samples = _MANNERS[Emotion(emotion)], round(video_frames / FPS * SAMPLE_RATE)
    waveform = np.random.default_rng((seed, _SPEECH_STREAM)).normal(0, _NOISE_FLOOR, samples)
    utterances = []
    for line in lines:
        utterance = say(line.transcript, VOICES[voice], _RATE, manner.pitch, manner.pitch_range)
        lead = round((line.start + LEAD_SECONDS) * SAMPLE_RATE)
        _check_fits(line, lead + round(utterance.end * SAMPLE_RATE), video_frames, samples)
        speech = _resampled(utterance)[: samples - lead]
        waveform[lead : lead + len(speech)] += _driven(speech, manner.drive)
        utterances.append(_delayed(utterance, line.start + LEAD_SECONDS))
    peak = np.abs(waveform).max() if lines else PEAK
    waveform = (waveform * (PEAK / peak)).astype(np.float32)
    return ToonSpeech(
        waveform,
        *articulate([phoneme for utterance in utterances for phoneme in utterance.phonemes], waveform),
        _letters(lines, utterances),
        " ".join(line.transcript for line in lines),
        voice,
        int(emotion),
        max((utterance.end for utterance in utterances), default=0.0),
    )


def _driven(speech: np.ndarray, drive: float) -> np.ndarray:
    """Sound with its peaks pressed, full scale 1."""
    return np.tanh(drive * speech / np.abs(speech).max()) / np.tanh(drive)


def _check_fits(line: Line, needed: int, video_frames: int, samples: int) -> None:
    """Refuse a sentence that ends ``needed`` samples into a clip that has fewer."""
    if needed > samples:
        length = f"{video_frames} frames last {video_frames / FPS:.2f} s."
        raise ValueError(f"{line.transcript!r} takes {needed / SAMPLE_RATE:.2f} s; {length}")


def _delayed(utterance: Utterance, seconds: float) -> Utterance:
    """Delay an utterance."""
    return replace(
        utterance,
        phonemes=tuple((start + seconds, name) for start, name in utterance.phonemes),
        words=tuple((start + seconds, *word) for start, *word in utterance.words),
        end=utterance.end + seconds,
    )


def make_speech(seed: int, video_frames: int = 33, split: str = "train", voice: int | None = None) -> ToonSpeech:
    """Generate the sound of a clip; ``make_clip`` with the same arguments has the same sound.

    Args:
        seed: Seed of the clip.
        video_frames: Length of the clip at 16 fps.
        split: Split of the sentences, ``train`` or ``held_out``.
        voice: Index into ``VOICES``; random by default.

    Returns:
        The clip's sound and mouth movement.

    Raises:
        ValueError: If the split or voice is unknown, or the clip is too short for two words.
    """
    rng = np.random.default_rng((seed, _SPEECH_STREAM))
    drawn_voice, emotion = int(rng.integers(len(VOICES))), int(rng.integers(len(Emotion)))
    transcript = draw_sentence(rng, video_frames, split)
    return speak(transcript, drawn_voice if voice is None else voice, emotion, video_frames, seed)


def _resampled(utterance: Utterance) -> np.ndarray:
    """Waveform of an utterance, resampled to 24 kHz."""
    source = torch.from_numpy(utterance.waveform)
    return torchaudio.functional.resample(source, utterance.sample_rate, SAMPLE_RATE).double().numpy()


def _letters(lines: Sequence[Line], utterances: Sequence[Utterance]) -> np.ndarray:
    """Time of every character of the joined transcript; the space between two sentences is at the end of the first."""
    times = []
    for line, utterance in zip(lines, utterances, strict=True):
        times += [_letter_seconds(utterance, len(line.transcript)), np.float32([utterance.end])]
    return np.concatenate(times[:-1] or [np.zeros(0, np.float32)])


def _letter_seconds(utterance: Utterance, characters: int) -> np.ndarray:
    """Time of the middle of every character; each word's time is divided evenly among its letters and its space."""
    starts = [start for start, _, _ in utterance.words] + [utterance.end]
    edges = [position for _, position, _ in utterance.words] + [characters]
    return np.interp(np.arange(characters) + 0.5, edges, starts).astype(np.float32)
