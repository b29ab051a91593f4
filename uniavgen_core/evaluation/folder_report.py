"""Report on a folder of clips: a table with the judge of every measure, plots, and skipped clips."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from .bar_plots import draw_bars, draw_lags
from .folder import ClipResult, PaperJudges, summary
from .markdown_tables import markdown_table, published

_STAND_IN = "stand-in: "
_FILES = {"table": ".md", "json": ".json", "bars": "-bars.png", "lags": "-lags.png"}
_MOST_BARS = 12


def judged_by(papers: PaperJudges, results: Sequence[ClipResult]) -> dict[str, str]:
    """Description of the judge of each measure, for the table."""
    toon = _STAND_IN + "the toons' own word judge, on clips whose transcripts have toon words alone (paper: Whisper)"
    dino = "DINO as in VBench" if papers.dino else _STAND_IN + "gradients and colors, in VBench's form (paper: DINO)"
    raft = "RAFT as in VBench" if papers.raft else _STAND_IN + "Farneback's flow, in VBench's form (paper: RAFT)"
    timbre = _STAND_IN + "statistics of mel cepstra"
    meter = _STAND_IN + "chance that mouth and audio belong together (paper: SyncNet's confidence)"
    unmeasured = "not measured: no Whisper was given, and no transcript has the toons' words alone"
    word_standin = toon if any(result.by_standin for result in results) else unmeasured
    return {
        "sync": meter,
        "sync_by_chance": "the same with the audio reversed: a sync near it says nothing",
        "LS": "SyncNet, confidence, on faces found by YuNet",
        "LS_offset": "SyncNet, frames of 25 a second at the best fit, positive when the audio is early",
        "lag_ms": _STAND_IN + "lag of the best correlation, ms, positive when the audio is late",
        "median_lag_ms": _STAND_IN + "median of the absolute lags, ms",
        "in_time": _STAND_IN + "share of clips whose lag is at most one frame at 16 fps, 62.5 ms",
        "timbre": timbre + ", first half against second",
        "timbre_reference": timbre + ", against the reference voice",
        "emotion": _STAND_IN + "whether the video moves more when the voice is excited, correlation over time",
        "wer": "Whisper" if papers.whisper else word_standin,
        "PQ": "AudioBox-Aesthetics, production quality",
        "CU": "AudioBox-Aesthetics, content usefulness",
        "sound_quality": _STAND_IN + "dB of the loud moments over the quiet ones (paper: AudioBox-Aesthetics)",
        "clipped": "share of samples that are clipped",
        "silence": "share of the time of the transcript in which nothing is heard",
        "babble": "seconds of audio after the transcript must have ended, at 9 characters a second",
        "identity": "likeness to the face of the first frame or the reference, mean of the less like half",
        "sharpness": "fine detail relative to the first frame or the reference image",
        "flicker": "trembling of the stillest half of the frame, levels of 255",
        "subject": dino,
        "subject_reference": dino + ", against the reference image",
        "dynamic": raft + ", share of clips that move",
        "flow": raft + ", movement as a share of the least that counts",
        "image": "MUSIQ as in VBench" if papers.musiq else _STAND_IN + "sharpness less noise (paper: MUSIQ)",
    }


def write_report(
    work: Path,
    source: Path,
    found: tuple[Sequence[ClipResult], Mapping[str, str]],
    papers: PaperJudges,
    rows: Mapping[str, Sequence[ClipResult]] | None = None,
) -> dict:
    """Write the report as Markdown, JSON and plots.

    Args:
        work: Folder to write to.
        source: The evaluated folder.
        found: Results, and the reason for each skipped clip.
        papers: The paper's judges.
        rows: Further sets of clips to compare with, by name.

    Returns:
        Content of the report, with the written ``files``.
    """
    results, skipped = found
    judges = judged_by(papers, results)
    sets = {source.name: results} | dict(rows or {})
    means = {name: summary(clips) for name, clips in sets.items()}
    paths = {name: work / f"clips{ending}" for name, ending in _FILES.items()}
    shown = [(r.name, r.values) for r in results] if len(results) <= _MOST_BARS else []
    draw_bars([*((f"mean, {name}", values) for name, values in means.items()), *shown], list(judges), paths["bars"])
    lags = {name: [r.values["lag_ms"] for r in clips if "lag_ms" in r.values] for name, clips in sets.items()}
    draw_lags(lags, "ms", paths["lags"])
    content = {
        "folder": source.name,
        "clips": len(results),
        "skipped": dict(skipped),
        "judges": judges,
        "means": means,
        "results": [asdict(result) for result in results],
        "files": {name: str(path) for name, path in paths.items()},
    }
    paths["table"].write_text(_markdown(content), encoding="utf-8")
    paths["json"].write_text(json.dumps(content, indent=1), encoding="utf-8")
    return content


def _markdown(content: dict) -> str:
    """Format the report as Markdown."""
    judges, means, results = content["judges"], content["means"], content["results"]
    counts = {name: sum(name in result["values"] for result in results) for name in judges}
    counts["median_lag_ms"] = counts["in_time"] = counts["lag_ms"]
    counts["wer"] = sum("word_errors" in result["values"] for result in results)
    rows = [
        [name, *(mean.get(name) for mean in means.values()), counts[name], by]
        for name, by in judges.items()
        if name != "lag_ms"
    ]
    of_all = {"wer", "median_lag_ms", "in_time"}
    shown = [name for name in judges if counts[name] and name not in of_all]
    clips = [[r["name"], *(r["values"].get(name) for name in shown), _words(r)] for r in results]
    reasons = [[r["name"], part, why] for r in results for part, why in r["reasons"].items()]
    parts = [
        f"# Clips of {content['folder']}\n",
        f"{content['clips']} measured, {len(content['skipped'])} skipped.\n",
        markdown_table(["measure", *means, "clips", "judged by"], rows),
        "## Clip by clip\n",
        markdown_table(["", *shown, "word errors"], clips),
    ]
    if reasons:
        parts += ["## Not measured\n", markdown_table(["clip", "measure", "why"], reasons)]
    if content["skipped"]:
        parts += ["## Skipped\n", markdown_table(["", "why"], list(content["skipped"].items()))]
    return "\n".join([*parts, published()])


def _words(result: dict) -> str | None:
    """Word errors of one clip as text, such as 1 / 4."""
    errors = result["values"].get("word_errors")
    return None if errors is None else f"{errors:.0f} / {result['words']}"
