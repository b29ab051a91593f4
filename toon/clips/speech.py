"""Speech of the toons: eight voices, three emotions, one speaking rate.

In the steady world the timing is fixed (one rate for all voices and emotions, a constant leading silence, no jitter),
so that the position of a letter in the transcript nearly determines its time: the middle of letter ``i`` lies near mel
frame ``TEXT_POSITION_OFFSET + TEXT_POSITION_SCALE * i``. Both constants are a least-squares fit over the letters of
2,000 clips of 33 frames, letters spread evenly over their word's time; the residual is 5.3 mel frames (root mean
square), about one letter. In the lively world onset, tempo, pitch, emphasis and strength differ from clip to clip.

Dimension key: N samples, F video frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from uniavgen_core.shapes import FPS, SAMPLE_RATE

from .articulation import articulate
from .delivery import LATEST_ONSET, PLAIN, Delivery, draw_delivery
from .espeak import Utterance, say
from .sentence import draw_sentence
from .world import STEADY, World

VOICES = ("en-us+m1", "en-us+m2", "en-us+m7", "en-us+Michael", "en-us+f2", "en-us+f3", "en-us+f5", "en-us+Annie")
FEMALE_VOICES = range(4, 8)
TEXT_POSITION_OFFSET = 13.3
TEXT_POSITION_SCALE = 5.97
LIVELY_POSITION_OFFSET = 38.0
LIVELY_POSITION_SCALE = 4.75
"""The same fit for 400 lively clips of one to four seconds; the residual is 16.4 mel frames."""
LIVELY_POSITION_MARGIN = 0.4
"""Seconds by which lively sentences end later than that says: 0.43 at the 95th percentile of 120, 0.61 at most."""
PEAK = 0.999146
LEAD_SECONDS = 0.12
_RATE = 180
_TAIL_SECONDS = 0.08
"""Room left after a sentence: other voices take up to 50 ms longer than the one it is measured with."""
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
class Expression:
    """Emotion of a face, and its strength; 1 is full."""

    emotion: Emotion
    strength: float = 1.0

    def mix(self, values: Mapping[Emotion, float]) -> float:
        """Value of the emotion, mixed with that of calm as its strength says."""
        calm = values[Emotion.CALM]
        return calm + self.strength * (values[self.emotion] - calm)


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
        delivery: Tempo, pitch, emphasis and strength.
    """

    waveform: np.ndarray
    mouth_open: np.ndarray
    mouth_spread: np.ndarray
    letter_seconds: np.ndarray
    transcript: str
    voice: int
    emotion: int
    end: float = 0.0
    delivery: Delivery = PLAIN

    @property
    def expression(self) -> Expression:
        """Expression of the face that speaks."""
        return Expression(Emotion(self.emotion), self.delivery.strength)


@dataclass(frozen=True)
class Line:
    """A sentence, its start, and its onset, both in seconds; the first sound comes ``onset + LEAD_SECONDS`` later."""

    transcript: str
    start: float = 0.0
    onset: float = 0.0

    @property
    def first_sound(self) -> float:
        """Time of the first sound, seconds."""
        return self.start + self.onset + LEAD_SECONDS


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


def recite(
    lines: Sequence[Line], voice: int, emotion: int, video_frames: int = 33, seed: int = 0, delivery: Delivery = PLAIN
) -> ToonSpeech:
    """Speak any number of sentences at given times.

    Args:
        lines: Sentences with their times, in order; they should not overlap.
        voice: Index into ``VOICES``.
        emotion: One of ``Emotion``.
        video_frames: Length of the clip at 16 fps.
        seed: Seed of the noise floor.
        delivery: Tempo, pitch, emphasis and strength.

    Returns:
        The clip's sound and mouth movement; its transcript is all sentences, joined by spaces. Without sentences, the
        sound is the noise floor.

    Raises:
        ValueError: If the clip is too short for a sentence, or voice or emotion are unknown.
    """
    if not 0 <= voice < len(VOICES):
        raise ValueError(f"voice is {voice}; it must be 0 to {len(VOICES) - 1}.")
    manner, samples = _manner(Emotion(emotion), delivery), round(video_frames / FPS * SAMPLE_RATE)
    waveform = np.random.default_rng((seed, _SPEECH_STREAM)).normal(0, _NOISE_FLOOR, samples)
    utterances = []
    for line in lines:
        utterance = _say(line.transcript, voice, manner, delivery)
        lead = round(line.first_sound * SAMPLE_RATE)
        _check_fits(line, lead + round(utterance.end * SAMPLE_RATE), video_frames, samples)
        speech = _driven(utterance.at_rate(SAMPLE_RATE)[: samples - lead], manner.drive)
        waveform[lead : lead + len(speech)] += speech * _gains(delivery, lead, len(speech))
        utterances.append(utterance.delayed(line.first_sound))
    peak = np.abs(waveform).max() if lines else PEAK
    waveform = (waveform * (PEAK / peak)).astype(np.float32)
    phonemes = [phoneme for utterance in utterances for phoneme in utterance.phonemes]
    transcript, end = " ".join(line.transcript for line in lines), max((one.end for one in utterances), default=0.0)
    return ToonSpeech(
        waveform, *articulate(phonemes, waveform), _letters(lines, utterances), transcript, voice, int(emotion), end,
        delivery,
    )  # fmt: skip


def draw_line(
    rng: np.random.Generator, start: float, room: int, split: str, delivery: Delivery = PLAIN, world: World = STEADY
) -> Line:
    """Draw a sentence that can be said from ``start`` on, and its onset in a lively world.

    Args:
        rng: Source of randomness.
        start: Start, seconds.
        room: Video frames in which the sentence must end, counted from the one in which ``start`` lies.
        split: ``train`` or ``held_out``.
        delivery: Its tempo tells how long a sentence takes.
        world: Its words, and whether its onset is left to chance.

    Raises:
        ValueError: If the split is unknown, or the room is too short for a sentence.
    """
    while True:
        line = Line(draw_sentence(rng, room, split, world), start)
        if not world.lively:
            return line
        delayed = _with_onset(rng, line, room, delivery)
        if delayed:
            return delayed


def retell(rng: np.random.Generator, line: Line, room: int, told: Delivery, world: World) -> tuple[Line, Delivery]:
    """Draw the delivery and the onset of a lively sentence again; the words stay, and what the first frame shows.

    Args:
        rng: Source of randomness.
        line: The sentence.
        room: As in ``draw_line``.
        told: Its delivery so far.
        world: A lively world.
    """
    while True:
        drawn = draw_delivery(rng, world)
        delivery = replace(drawn, strength=told.strength, emphasis=(*told.emphasis[:1], *drawn.emphasis[1:]))
        delayed = _with_onset(rng, line, room, delivery)
        if delayed:
            return delayed, delivery


def _with_onset(rng: np.random.Generator, line: Line, room: int, delivery: Delivery) -> Line | None:
    """A sentence with an onset by chance; None if it takes too long."""
    utterance = _say(line.transcript, 0, _MANNERS[Emotion.CALM], delivery)
    slack = (room - line.start * FPS % 1) / FPS - LEAD_SECONDS - utterance.end - _TAIL_SECONDS
    return Line(line.transcript, line.start, float(rng.uniform(0, min(LATEST_ONSET, slack)))) if slack > 0 else None


def _manner(emotion: Emotion, delivery: Delivery) -> _Manner:
    """Sound of an emotion as it is delivered."""
    mix = Expression(emotion, delivery.strength).mix
    pitch, pitch_range, drive = (
        mix({emotion: getattr(manner, name) for emotion, manner in _MANNERS.items()})
        for name in ("pitch", "pitch_range", "drive")
    )
    return _Manner(round(pitch + delivery.pitch), min(99, round(pitch_range * delivery.pitch_range)), drive)


def _say(transcript: str, voice: int, manner: _Manner, delivery: Delivery) -> Utterance:
    text, rate = transcript + delivery.ending, round(_RATE * delivery.tempo)
    return say(text, VOICES[voice], rate, manner.pitch, manner.pitch_range)


def _gains(delivery: Delivery, first: int, count: int) -> np.ndarray:
    """Factors of ``count`` samples from sample ``first`` on, (count,)."""
    return 10 ** (delivery.gain_db(np.arange(first, first + count) / SAMPLE_RATE) / 20)


def _driven(speech: np.ndarray, drive: float) -> np.ndarray:
    """Sound with its peaks pressed, full scale 1."""
    return np.tanh(drive * speech / np.abs(speech).max()) / np.tanh(drive)


def _check_fits(line: Line, needed: int, video_frames: int, samples: int) -> None:
    """Refuse a sentence that ends ``needed`` samples into a clip that has fewer."""
    if needed > samples:
        length = f"{video_frames} frames last {video_frames / FPS:.2f} s."
        raise ValueError(f"{line.transcript!r} takes {needed / SAMPLE_RATE:.2f} s; {length}")


def make_speech(
    seed: int, video_frames: int = 33, split: str = "train", voice: int | None = None, world: World = STEADY
) -> ToonSpeech:
    """Generate the sound of a clip; ``make_clip`` with the same arguments has the same sound.

    Args:
        seed: Seed of the clip.
        video_frames: Length of the clip at 16 fps.
        split: Split of the sentences, ``train`` or ``held_out``.
        voice: Index into ``VOICES``; random by default.
        world: Words, and whether chance decides how they are said.

    Returns:
        The clip's sound and mouth movement.

    Raises:
        ValueError: If the split or voice is unknown, or the clip is too short for two words.
    """
    rng = np.random.default_rng((seed, _SPEECH_STREAM))
    drawn_voice, emotion = int(rng.integers(len(VOICES))), int(rng.integers(len(Emotion)))
    delivery = draw_delivery(rng, world)
    line = draw_line(rng, 0.0, video_frames, split, delivery, world)
    return recite([line], drawn_voice if voice is None else voice, emotion, video_frames, seed, delivery)


def _letters(lines: Sequence[Line], utterances: Sequence[Utterance]) -> np.ndarray:
    """Time of every character of the joined transcript; the space between two sentences is at the end of the first."""
    times = []
    for line, utterance in zip(lines, utterances, strict=True):
        times += [utterance.letter_seconds(len(line.transcript)), np.float32([utterance.end])]
    return np.concatenate(times[:-1] or [np.zeros(0, np.float32)])
