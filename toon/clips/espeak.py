"""Binding of espeak-ng with ctypes: waveforms with the times of words and phonemes.

The library and its voices come from the ``espeakng-loader`` package, so that nothing has to be installed by hand.
Own binding, because that package only finds the library, and espeak's command line gives no times of phonemes.
Source: espeak-ng's ``speak_lib.h`` (event and parameter numbers).
"""

import _ctypes
import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock

import espeakng_loader
import numpy as np
import torch
import torchaudio

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_PHONEME_EVENTS = 1
_CHARS_UTF8 = 1
_POSITION_CHARACTER = 1
_EVENT_LIST_TERMINATED, _EVENT_WORD, _EVENT_END, _EVENT_PHONEME = 0, 1, 5, 7
_RATE, _PITCH, _RANGE = 1, 3, 4
_ONE_AT_A_TIME = Lock()


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Utterance:
    """Speech of espeak-ng with the times of its phonemes and words.

    Attributes:
        waveform: Samples, float32, (N,).
        sample_rate: Hz.
        phonemes: (start in seconds, espeak mnemonic) in order; an empty mnemonic is a pause.
        words: (start in seconds, index of the word's first character, its number of characters) in order.
        end: End of the last phoneme, seconds.
    """

    waveform: np.ndarray
    sample_rate: int
    phonemes: tuple[tuple[float, str], ...]
    words: tuple[tuple[float, int, int], ...]
    end: float

    def delayed(self, seconds: float) -> "Utterance":
        """The same utterance with all its times later; the waveform stays."""
        return replace(
            self,
            phonemes=tuple((start + seconds, name) for start, name in self.phonemes),
            words=tuple((start + seconds, *word) for start, *word in self.words),
            end=self.end + seconds,
        )

    def at_rate(self, sample_rate: int) -> np.ndarray:
        """The waveform at another rate in Hz, float64."""
        source = torch.from_numpy(self.waveform)
        return torchaudio.functional.resample(source, self.sample_rate, sample_rate).double().numpy()

    def letter_seconds(self, characters: int) -> np.ndarray:
        """Time of the middle of every character, (characters,); a word's time is divided evenly among its letters."""
        starts = [start for start, _, _ in self.words] + [self.end]
        edges = [position for _, position, _ in self.words] + [characters]
        return np.interp(np.arange(characters) + 0.5, edges, starts).astype(np.float32)


class _Recorder:
    """Collector of the samples and events of the library's callback."""

    def __init__(self) -> None:
        self.chunks: list[np.ndarray] = [np.zeros(0, np.int16)]
        self.events: list[tuple[int, float, int, int, str]] = []
        self.callback = _Callback(self._receive)

    def _receive(self, samples, count: int, events) -> int:
        """Store one chunk, and return 0 to request the next."""
        if samples and count > 0:
            self.chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events and events[index].type != _EVENT_LIST_TERMINATED:
            event = events[index]
            mnemonic = event.id.string.decode("utf-8", "replace") if event.type == _EVENT_PHONEME else ""
            self.events.append((event.type, event.audio_position / 1000, event.text_position, event.length, mnemonic))
            index += 1
        return 0

    def utterance(self, sample_rate: int) -> Utterance:
        """Build the utterance from the collected samples and events."""
        waveform = np.concatenate(self.chunks).astype(np.float32) / 32768
        phonemes = tuple((start, name) for kind, start, _, _, name in self.events if kind == _EVENT_PHONEME)
        words = tuple(
            (start, position - 1, length) for kind, start, position, length, _ in self.events if kind == _EVENT_WORD
        )
        ends = [seconds for kind, seconds, _, _, _ in self.events if kind == _EVENT_END]
        return Utterance(waveform, sample_rate, phonemes, words, ends[-1] if ends else len(waveform) / sample_rate)


@contextmanager
def _fresh_library() -> Iterator[ctypes.CDLL]:
    """Load a fresh copy of espeak-ng, and unload it afterwards.

    The library keeps the state of its pitch flutter between utterances, and has no call to reset it. A fresh copy
    (about 2 ms) with seeded noise is deterministic.
    """
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    try:
        yield library
        library.espeak_Terminate()
    finally:
        unload = _ctypes.FreeLibrary if sys.platform == "win32" else _ctypes.dlclose
        unload(library._handle)


def say(text: str, voice: str, rate: int, pitch: int, pitch_range: int) -> Utterance:
    """Synthesise a text. The same arguments always give the same samples.

    Args:
        text: Text to speak.
        voice: espeak-ng voice with its variant, such as ``en-us+f2``.
        rate: Words per minute.
        pitch: Base pitch, 0 to 99.
        pitch_range: Range of the pitch, 0 (monotone) to 99.

    Returns:
        The waveform with its word and phoneme times.

    Raises:
        RuntimeError: If espeak-ng does not start.
        ValueError: If espeak-ng has no such voice.
    """
    recorder = _Recorder()
    with _ONE_AT_A_TIME, _fresh_library() as library:
        path = str(espeakng_loader.get_data_path()).encode()
        sample_rate = library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, path, _PHONEME_EVENTS)
        if sample_rate <= 0:
            raise RuntimeError(f"espeak-ng did not start with the voices in {path!r}; reinstall espeakng-loader.")
        library.espeak_ng_SetRandSeed(ctypes.c_long(0))
        library.espeak_SetSynthCallback(recorder.callback)
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}.")
        for number, value in {_RATE: rate, _PITCH: pitch, _RANGE: pitch_range}.items():
            library.espeak_SetParameter(number, value, 0)
        data = text.encode() + b"\0"
        library.espeak_Synth(data, len(data), 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None)
        library.espeak_Synchronize()
    return recorder.utterance(sample_rate)
