"""Power of UniAVGen Retake to find the damaged spans of a clip, and how often it marks a clip that has no damage.

A second or more of the speech of held-out toons is replaced by the same sound half a second late or early, or by speech
of other toons. A damaged span is found if a marked one overlaps it, and located if the marked ones begin and end within
half a second of it. ``--clips`` adds a folder of videos, of which those with a marked span are listed.

Dimension key: N samples.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from uniavgen_core.evaluation.clip_file import ClipFile, list_clips, read_clip
from uniavgen_core.evaluation.span_scores import score_spans, weak_spans
from uniavgen_core.media.audio.voice_activity import LEVEL_RATE, voice_activity
from uniavgen_core.media.time_spans import Spans

from .sync import FIRST_TOON, SHIFT_SECONDS, toon

THRESHOLD = 0.2
DAMAGE_SECONDS, TOLERANCE = 1.2, 0.5
KINDS = ("late", "early", "swapped", "swapped", "swapped")
LENGTHS = (49, 65, 81, 97)


@dataclass(frozen=True)
class DamagedClip:
    """A clip with a damaged span.

    Attributes:
        clip: The clip.
        kind: One of ``KINDS``.
        start: Start of the span, seconds.
        stop: Its end, seconds.
    """

    clip: ClipFile
    kind: str
    start: float
    stop: float


def add_options(parser: ArgumentParser) -> None:
    """Add the options that choose the clips."""
    parser.add_argument("--toons", type=int, default=16, help="number of held-out toons")
    parser.add_argument("--clips", type=Path, help="folder of undamaged videos with sound")


def measure(options: Namespace) -> dict:
    """Mark the weak spans of damaged and undamaged toons, and of undamaged videos."""
    toons = [toon(FIRST_TOON + n, LENGTHS[n % len(LENGTHS)]) for n in range(options.toons)]
    found = [(one.kind, *judge(one, marked(one.clip))) for one in damage(toons)]
    results = {
        "damaged": {kind: _counts([row for row in found if row[0] == kind]) for kind in dict.fromkeys(KINDS)},
        "undamaged": {"toons": _marked_clips({str(number): clip for number, clip in enumerate(toons)})},
    }
    if options.clips:
        videos = {entry.path.name: read_clip(entry.path) for entry in list_clips(options.clips)[0]}
        results["undamaged"]["videos"] = _marked_clips(
            {name: clip for name, clip in videos.items() if clip.sample_rate}
        )
    return results


def damage(clips: list[ClipFile], seed: int = 0) -> Iterator[DamagedClip]:
    """Damage the sound of each clip once in every way of ``KINDS``.

    Args:
        clips: Undamaged clips with speech, all of one sample rate.
        seed: Seed of the places.

    Yields:
        Clips of which a span within the speech has another sound.
    """
    random = np.random.default_rng(seed)
    speech = [_speech(clip) for clip in clips]
    for index, clip in enumerate(clips):
        for number, kind in enumerate(KINDS):
            begin, end = speech[index]
            start = float(random.uniform(begin, max(begin, end - DAMAGE_SECONDS)))
            stop = min(start + DAMAGE_SECONDS, end)
            first, last = (round(time * clip.sample_rate) for time in (start, stop))
            waveform = clip.waveform.clone()
            if kind == "swapped":
                other = (index + 1 + number) % len(clips)
                own = clips[other].waveform[round(speech[other][0] * clip.sample_rate) :][: last - first]
                waveform[first:last] = torch.nn.functional.pad(own, (0, last - first - len(own)))
            else:
                shift = round(SHIFT_SECONDS * clip.sample_rate) * (1 if kind == "late" else -1)
                waveform[first:last] = clip.waveform.roll(shift)[first:last]
            yield DamagedClip(replace(clip, waveform=waveform), kind, start, stop)


def marked(clip: ClipFile) -> Spans:
    """Spans of a clip that the node marks with its default threshold."""
    return weak_spans(score_spans(clip.frames, clip.fps, (clip.waveform, clip.sample_rate), 0), THRESHOLD)


def judge(damaged: DamagedClip, spans: Spans) -> tuple[bool, bool, bool]:
    """Judge the marked spans of a damaged clip.

    Args:
        damaged: The clip.
        spans: Spans that were marked.

    Returns:
        Whether the damage is found, whether it is located, and whether another place is marked.
    """
    hits = [pair for pair in spans.pairs if pair[0] < damaged.stop and pair[1] > damaged.start]
    if not hits:
        return False, False, bool(spans)
    errors = abs(hits[0][0] - damaged.start), abs(hits[-1][1] - damaged.stop)
    return True, max(errors) <= TOLERANCE, len(hits) < len(spans.pairs)


def table(results: dict) -> str:
    """Format the results."""
    lines = [f"{'damage':10}{'spans':>7}{'found':>7}{'located':>9}{'marked elsewhere':>18}"]
    rows = results["damaged"] | {"all": _sum(list(results["damaged"].values()))}
    for kind, row in rows.items():
        lines.append(f"{kind:10}{row['spans']:7}{row['found']:7}{row['located']:9}{row['elsewhere']:18}")
    for name, row in results["undamaged"].items():
        lines.append(f"undamaged {name}: {len(row['marked'])} of {row['clips']} marked")
        lines += [f"  {clip}: {spans} s" for clip, spans in row["marked"].items()]
    return "\n".join(lines)


def _speech(clip: ClipFile) -> tuple[float, float]:
    """Start and end of the speech of a clip, seconds."""
    heard = np.flatnonzero(voice_activity(clip.waveform, clip.sample_rate))
    return float(heard[0] / LEVEL_RATE), float((heard[-1] + 1) / LEVEL_RATE)


def _counts(rows: list[tuple[str, bool, bool, bool]]) -> dict[str, int]:
    names = ("found", "located", "elsewhere")
    return {"spans": len(rows)} | {name: sum(row[place] for row in rows) for place, name in enumerate(names, 1)}


def _sum(rows: list[dict[str, int]]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in rows[0]}


def _marked_clips(clips: dict[str, ClipFile]) -> dict:
    spans = {name: marked(clip) for name, clip in clips.items()}
    return {"clips": len(clips), "marked": {name: str(found) for name, found in spans.items() if found}}
