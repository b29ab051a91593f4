"""Evaluation of the clips in a folder, by the paper's judges if they are given, otherwise by stand-ins."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from torch import Tensor

from ..media.audio.mel import log_mel
from ..media.audio.sound import resample
from ..media.audio.sound_file import read_sound
from ..media.faces.face_detection import FaceDetector
from .clip_file import LONGEST_SECONDS, ClipFile, Entry, list_clips, read_clip
from .paper_models import spoken_words
from .picture_damage import flicker, identity, sharpness
from .picture_standins import (
    farneback,
    features,
    flow_strengths,
    image_quality,
    is_dynamic,
    movement,
    subject_consistency,
)
from .sound_damage import clipped_share, speech_timing
from .sound_standins import emotion_agreement, sound_quality, timbre_consistency, vocal_arousal
from .sync_meter import measure_sync
from .word_errors import word_errors

_FEATURE_FRAMES = 48
_IN_TIME_MS = 62.5  # One frame at 16 fps.


@dataclass(frozen=True)
class PaperJudges:
    """The paper's judges; None for one that is replaced by a stand-in."""

    whisper: Any = None
    audiobox: Any = None
    dino: Any = None
    raft: Any = None
    musiq: Any = None
    syncnet: Any = None


class WordStandIn(Protocol):
    """A word recognizer with a small vocabulary, in place of Whisper."""

    def knows(self, words: Sequence[str]) -> bool:
        """Return True if all of these words are in its vocabulary."""
        ...

    def hear(self, mel: Tensor) -> str:
        """Recognise the words of a natural log-mel, (80, S)."""
        ...


@dataclass(frozen=True)
class ClipResult:
    """Measurements of one clip.

    Attributes:
        name: The file, relative to the folder.
        values: Values by measure; failed measures are missing.
        reasons: Reason for each failed measure.
        words: Number of words in the transcript, the denominator of the word error rate.
        by_standin: Whether the words were recognised by ``WordStandIn``.
    """

    name: str
    values: Mapping[str, float]
    reasons: Mapping[str, str]
    words: int = 0
    by_standin: bool = False


class FolderMeter:
    """Evaluator of single clips, by the paper's judges and a word recognizer in place of Whisper, if any."""

    def __init__(self, papers: PaperJudges, words: WordStandIn | None = None) -> None:
        self.papers = papers
        self._words = words
        self._detector: FaceDetector | None = None

    def measure(self, entry: Entry, name: str) -> ClipResult:
        """Measure one clip.

        Raises:
            ValueError: If the clip cannot be read.
        """
        clip = read_clip(entry.path)
        values: dict[str, float] = {}
        reasons: dict[str, str] = {}
        for part in (self._sync, self._syncnet, self._sound, self._timbre, self._speaking, self._picture, self._damage):
            try:
                values |= part(clip, entry)
            except ValueError as error:
                reasons[part.__name__.strip("_")] = str(error)
        words, by_standin = spoken_words(entry.transcript).split(), False
        if words and clip.sample_rate:
            by_standin = self.papers.whisper is None and self._words is not None and self._words.knows(words)
            recognised = self._recognise(clip, by_standin)
            if recognised is None:
                reasons["words"] = "not measured: no Whisper was given, and these are not the toons' words"
            else:
                values["word_errors"] = float(word_errors(" ".join(words), recognised))
        return ClipResult(name, values, reasons, len(words), by_standin)

    def _recognise(self, clip: ClipFile, by_standin: bool) -> str | None:
        """Recognised words; None without a recognizer that knows them."""
        if self.papers.whisper is not None:
            return spoken_words(self.papers.whisper.hear(clip.waveform, clip.sample_rate))
        if not by_standin or self._words is None:
            return None
        return self._words.hear(log_mel(resample(clip.waveform[None], clip.sample_rate)[0]))

    def _sync(self, clip: ClipFile, entry: Entry) -> dict[str, float]:
        """Lip-sync by the stand-in."""
        del entry
        reading = measure_sync(clip.frames, clip.fps, _sound_of(clip), clip.sample_rate)
        if not reading.score:
            raise ValueError(" ".join(reading.notices))
        return {
            "sync": reading.score,
            "sync_by_chance": reading.chance,
            "lag_ms": reading.lag_ms,
        }

    def _syncnet(self, clip: ClipFile, entry: Entry) -> dict[str, float]:
        """Lip-sync by SyncNet."""
        del entry
        judge = self.papers.syncnet
        return judge.rate(clip.frames, clip.fps, _sound_of(clip), clip.sample_rate) if judge else {}

    def _sound(self, clip: ClipFile, entry: Entry) -> dict[str, float]:
        """Audio quality, and agreement of emotion between face and voice."""
        del entry
        waveform = _sound_of(clip)
        values = {"sound_quality": sound_quality(waveform, clip.sample_rate)}
        if self.papers.audiobox is not None:
            values |= self.papers.audiobox.rate(waveform, clip.sample_rate)
        arousal = vocal_arousal(waveform, clip.sample_rate)
        return values | {"emotion": emotion_agreement(arousal, movement(clip.frames), clip.fps)}

    def _timbre(self, clip: ClipFile, entry: Entry) -> dict[str, float]:
        """Consistency of the timbre over the clip, and with the reference voice."""
        waveform = _sound_of(clip)
        values = {}
        if entry.reference_voice is not None:
            reference = read_sound(entry.reference_voice, longest=LONGEST_SECONDS)
            if reference[1]:
                values["timbre_reference"] = timbre_consistency(waveform, clip.sample_rate, reference)
        return values | {"timbre": timbre_consistency(waveform, clip.sample_rate)}

    def _speaking(self, clip: ClipFile, entry: Entry) -> dict[str, float]:
        """Clipped samples, and with a transcript silence and babble."""
        waveform, text = _sound_of(clip), spoken_words(entry.transcript)
        values = {"clipped": clipped_share(waveform)}
        if text:
            found = speech_timing(waveform, clip.sample_rate, len(text))
            values |= {"silence": found.silence, "babble": found.babble}
        return values

    def _damage(self, clip: ClipFile, entry: Entry) -> dict[str, float]:
        """Likeness of the face, sharpness and flicker."""
        reference = None if entry.reference_image is None else _picture_at(entry.reference_image)[0]
        self._detector = self._detector or FaceDetector()
        values = {
            "identity": identity(clip.frames, self._detector, reference),
            "sharpness": sharpness(clip.frames, reference),
        }
        return values | ({"flicker": flicker(clip.frames)} if len(clip.frames) > 2 else {})

    def _picture(self, clip: ClipFile, entry: Entry) -> dict[str, float]:
        """Subject consistency, motion and image quality."""
        chosen = clip.frames[:: max(1, len(clip.frames) // _FEATURE_FRAMES)]
        describe = features if self.papers.dino is None else self.papers.dino.features
        vectors = describe(chosen)
        flow = farneback if self.papers.raft is None else self.papers.raft
        strengths = flow_strengths(clip.frames, clip.fps, flow)
        rate = image_quality if self.papers.musiq is None else self.papers.musiq.rate
        values = {
            "subject": subject_consistency(vectors),
            "dynamic": float(is_dynamic(strengths)),
            "flow": float(strengths.mean()) if len(strengths) else 0.0,
            "image": rate(clip.frames),
        }
        if entry.reference_image is not None:
            values["subject_reference"] = subject_consistency(vectors, describe(_picture_at(entry.reference_image))[0])
        return values


def _sound_of(clip: ClipFile) -> Tensor:
    """Waveform of a clip that has one."""
    if not clip.sample_rate:
        raise ValueError("It has no audio.")
    return clip.waveform


def _picture_at(path: Path) -> np.ndarray:
    """Read an image file as one frame, (1, H, W, 3) uint8."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise ValueError(f"The reference image cannot be read: {error}") from error
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if picture is None:
        raise ValueError(f"The reference image {path.name} is not an image.")
    return picture[None, :, :, ::-1]


def measure_folder(
    folder: Path, meter: FolderMeter, on_clip: Callable[[int, int], None] = lambda *_: None
) -> tuple[list[ClipResult], dict[str, str]]:
    """Measure every clip of a folder.

    Args:
        folder: Folder of videos with an optional manifest; see ``list_clips``.
        meter: Evaluator of single clips.
        on_clip: Called after each clip with its number from 1 and the total.

    Returns:
        The results, and the reason for each skipped clip.

    Raises:
        ValueError: If the folder does not exist, or has no clip.
    """
    entries, skipped = list_clips(folder)
    results = []
    for number, entry in enumerate(entries, 1):
        name = entry.path.relative_to(folder).as_posix() if entry.path.is_relative_to(folder) else entry.path.name
        try:
            results.append(meter.measure(entry, name))
        except ValueError as error:
            skipped[name] = str(error)
        on_clip(number, len(entries))
    return results, skipped


def summary(results: Sequence[ClipResult]) -> dict[str, float]:
    """Mean of each measure over the clips that have it.

    Lags of opposite sign cancel in a mean, so ``median_lag_ms`` and ``in_time`` replace the mean of ``lag_ms``: the
    median of its absolute values, and the share of clips within one frame at 16 fps (62.5 ms). ``wer`` is all errors
    over all words.
    """
    names = sorted({name for result in results for name in result.values} - {"word_errors", "lag_ms"})
    values = {name: float(np.mean([r.values[name] for r in results if name in r.values])) for name in names}
    lags = np.abs([result.values["lag_ms"] for result in results if "lag_ms" in result.values])
    if len(lags):
        values |= {"median_lag_ms": float(np.median(lags)), "in_time": float(np.mean(lags <= _IN_TIME_MS))}
    scored = [result for result in results if "word_errors" in result.values]
    if scored:
        values["wer"] = sum(result.values["word_errors"] for result in scored) / sum(result.words for result in scored)
    return values
