"""Held-out toons that get new words and lips, and what shows whether they did.

Dimension key: F video frames, H picture height, W picture width.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from scipy.ndimage import binary_dilation, binary_erosion

from uniavgen_core.evaluation.lip_sync import correlation, mouth_opening, sound_envelope
from uniavgen_core.media.audio.mel import log_mel, normalized_mel
from uniavgen_core.media.faces.face_detection import FaceDetector
from uniavgen_core.media.faces.mouth_regions import MOUTH, find_region
from uniavgen_core.tasks import AUDIO_DRIVEN, RELIP
from uniavgen_core.text.speech_tensors import SpokenText

from ..clips import STEADY, Line, ToonScene, World, recite
from .cases import Case, case_of, scenes, speaks_at_once

RELIP_BLENDED = f"{RELIP.name}, blended"
RELIP_DRIVEN = f"{RELIP.name}, {AUDIO_DRIVEN.name}"
RELIP_CASES = (RELIP.name, RELIP_BLENDED, RELIP_DRIVEN)
"""New words in the video's own voice, with its picture clean or blended into every step; and with the sound given."""
RELIP_MEASURES = {
    "old_raw": "new lips against the old sound; any other clip's gets `shuffled`",
    "old_corr": "new lips against the old sound, less what both owe to the new one (partial correlation)",
    "outside": "share of pixels outside the region that are not the video's own",
    "seam": "gradient across the region's edge, as a share of the video's own there",
}
_EDGE = 2


def relip_cases(kind: str, count: int, first_seed: int, world: World = STEADY) -> list[Case]:
    """Held-out cases of one of ``RELIP_CASES``: each toon gets the sentence of the next one."""
    drawn = scenes(count + 1, first_seed, speaks_at_once, world)
    detector = FaceDetector()
    return [relip_case(kind, scene, other.clip.transcript, world, detector) for scene, other in pairwise(drawn)]


def relip_case(kind: str, scene: ToonScene, words: str, world: World, detector: FaceDetector) -> Case:
    """Case of one of ``RELIP_CASES``: a toon that gets the given words, and lips that say them."""
    clip = scene.clip
    found = find_region([detector.find(frame) for frame in clip.frames], clip.frames.shape[1:3], MOUTH)
    case = replace(
        case_of(scene, RELIP, world),
        region=np.zeros(clip.frames.shape[:3], np.float32) if found is None else found.weights,
        blended=kind == RELIP_BLENDED,
        words=SpokenText(words),
        old_waveform=torch.from_numpy(clip.waveform),
    )
    if kind != RELIP_DRIVEN:
        return replace(case, spoken=clip.waveform)
    sound = torch.from_numpy(recite([Line(words)], clip.voice, clip.emotion, len(clip.frames), clip.seed).waveform)
    mel = normalized_mel(sound)
    kept = torch.ones(len(mel), dtype=torch.bool)
    return replace(case, waveform=sound, mel=mel, sound_kept=kept, interaction=AUDIO_DRIVEN.interaction)


def relip_measures(frames: np.ndarray, heard: np.ndarray, case: Case) -> dict[str, float]:
    """Values of ``RELIP_MEASURES`` for one clip with new lips.

    Args:
        frames: Pictures, (F, H, W, 3) uint8.
        heard: Log-mel of its sound, natural logarithm, (80, S).
        case: What it was made from.
    """
    outside = case.region == 0
    opening = mouth_opening(frames, *case.mouths[0])
    sounds = [sound_envelope(mel, len(frames)) for mel in (heard, log_mel(case.old_waveform).numpy())]
    edge = region_edge(case.region)
    return {
        "old_raw": correlation(opening, sounds[1]),
        "old_corr": _partial_correlation(opening, sounds[1], sounds[0]),
        "outside": float((frames[outside] != case.frames[outside]).mean()),
        "seam": _gradient(frames)[edge].mean() / max(1e-6, _gradient(case.frames)[edge].mean()),
    }


def _partial_correlation(one: np.ndarray, other: np.ndarray, given: np.ndarray) -> float:
    """Correlation of two curves (F,) after a third is regressed out of both."""
    design = np.stack([given, np.ones_like(given)], 1)
    return correlation(*(curve - design @ np.linalg.lstsq(design, curve)[0] for curve in (one, other)))


def region_edge(region: np.ndarray) -> np.ndarray:
    """True within two pixels of the outline of a region's weights (F, H, W), bool, (F, H, W)."""
    inside = region > 0
    near = np.ones((1, 2 * _EDGE + 1, 2 * _EDGE + 1), bool)
    return binary_dilation(inside, near) & ~binary_erosion(inside, near, border_value=1)


def _gradient(frames: np.ndarray) -> np.ndarray:
    """Size of the gradient of the brightness of frames (F, H, W, 3), (F, H, W)."""
    down, right = np.gradient(frames.astype(np.float32).mean(-1), axis=(1, 2))
    return np.hypot(down, right)
