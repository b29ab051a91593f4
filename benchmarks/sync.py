"""Power of the Sync Meter to tell a clip's own sound from the same half a second late or early, and from another's.

For each of these false sounds the area under the ROC curve is given: the share of pairs of a true and a false sound in
which the true one scores higher; 0.5 is chance. The toons are drawn; ``--clips`` adds a folder of videos.

Dimension key: N samples.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
from PIL import Image
from torch import from_numpy

from toon.clips import make_clip
from uniavgen_core.evaluation.clip_file import ClipFile, list_clips, read_clip
from uniavgen_core.evaluation.sound_envelope import sound_loudness
from uniavgen_core.evaluation.sync_agreement import Mouth, Pairing
from uniavgen_core.evaluation.sync_meter import find_mouth, measure_sync, search_lags
from uniavgen_core.evaluation.sync_plot import draw_sync

SHIFT_SECONDS = 0.5
FALSE_SOUNDS = ("late", "early", "swapped")
FIRST_TOON, LENGTHS, FPS, RATE = 10_900_000, (33, 49, 65), 16, 24_000


def add_options(parser: ArgumentParser) -> None:
    """Add the options that choose the clips and where plots are written."""
    parser.add_argument("--toons", type=int, default=24, help="number of held-out toons")
    parser.add_argument("--clips", type=Path, help="folder of videos with sound")
    parser.add_argument("--plots", type=Path, help="folder to which a plot of every video is written")


def measure(options: Namespace) -> dict:
    """Score true and false sounds of the toons and of the clips."""
    results = {"toons": scores_of({f"toon {n}": toon(FIRST_TOON + n, LENGTHS[n % 3]) for n in range(options.toons)})}
    if options.clips:
        clips = {clip.path.name: read_clip(clip.path) for clip in list_clips(options.clips)[0]}
        results["clips"] = scores_of(clips)
        if options.plots:
            options.plots.mkdir(parents=True, exist_ok=True)
            for name in results["clips"]["scores"]:
                _plot(clips[name], options.plots / f"{Path(name).stem}.png")
    return results


def scores_of(clips: dict[str, ClipFile]) -> dict:
    """Score true and false sounds of some clips; those without sound are left out.

    Args:
        clips: Clips by name. A sound is swapped for those of clips of the same number of frames.

    Returns:
        The number of ``clips`` and of those ``without_face``; ``auc`` for each kind of false sound, None where there is
        none; and ``scores`` of the true sounds by name.
    """
    clips = {name: clip for name, clip in clips.items() if clip.sample_rate}
    mouths = {name: find_mouth(clip.frames)[0] for name, clip in clips.items()}
    sounds = {name: clip.waveform.double().numpy() for name, clip in clips.items()}
    shift = {name: round(SHIFT_SECONDS * clip.sample_rate) for name, clip in clips.items()}

    def score(name: str, sound: np.ndarray, owner: str) -> float:
        return _score(mouths[name], sound, clips[owner].sample_rate, clips[name].fps)

    true = {name: score(name, sound, name) for name, sound in sounds.items()}
    false = {
        "late": [score(name, np.pad(sound, (shift[name], 0))[: len(sound)], name) for name, sound in sounds.items()],
        "early": [score(name, sound[shift[name] :], name) for name, sound in sounds.items()],
        "swapped": [
            score(name, sounds[other], other)
            for name in clips
            for other in clips
            if other != name and len(clips[other].frames) == len(clips[name].frames)
        ],
    }
    return {
        "clips": len(clips),
        "without_face": sum(mouth.motion is None for mouth in mouths.values()),
        "auc": {kind: area_under_curve(list(true.values()), false[kind]) for kind in FALSE_SOUNDS},
        "scores": {name: round(value, 2) for name, value in true.items()},
    }


def area_under_curve(true: list[float], false: list[float]) -> float | None:
    """Area under the ROC curve: share of pairs in which the true value is higher, equal ones by half; None for none."""
    gaps = np.subtract.outer(true, false)
    return round(float((gaps > 0).mean() + 0.5 * (gaps == 0).mean()), 3) if gaps.size else None


def table(results: dict) -> str:
    """Format the results."""
    lines = [f"{'':8}{'clips':>7}{'no face':>9}" + "".join(f"{kind:>9}" for kind in FALSE_SOUNDS)]
    for name, row in results.items():
        areas = "".join(f"{'-' if row['auc'][kind] is None else row['auc'][kind]:>9}" for kind in FALSE_SOUNDS)
        lines.append(f"{name:8}{row['clips']:7}{row['without_face']:9}{areas}")
    lines += [f"  {name}: {value:.2f}" for name, value in results.get("clips", {}).get("scores", {}).items()]
    return "\n".join(lines)


def toon(seed: int, video_frames: int) -> ClipFile:
    """Held-out toon of a seed, with its sound."""
    clip = make_clip(seed, video_frames, split="held_out")
    return ClipFile(clip.frames, FPS, from_numpy(clip.waveform), RATE)


def _score(mouth: Mouth, sound: np.ndarray, sample_rate: int, fps: float) -> float:
    pair = Pairing(mouth, sound_loudness(sound, sample_rate), fps)
    seconds = min(mouth.video_frames / fps, len(sound) / sample_rate)
    scores, _ = pair.scores(search_lags(seconds))
    return float(scores[len(scores) // 2])


def _plot(clip: ClipFile, path: Path) -> None:
    reading = measure_sync(clip.frames, clip.fps, clip.waveform, clip.sample_rate)
    Image.fromarray(draw_sync(reading, clip.frames)).save(path)
