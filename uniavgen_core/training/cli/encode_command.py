"""Encode clips once, for training: ``python -m uniavgen_core.training encode SOURCE --out DIR --size 1280x736``."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..data.clip_form import ClipForm, Faces, parse_size
from ..data.clip_sources import open_source
from ..data.encode_clips import EncodeConfig, encode_source
from ..launch import INTERRUPTED

SUMMARY = "encode clips once: latents, mels, caption features, face masks"


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    form = ClipForm()
    parser = argparse.ArgumentParser(prog="uniavgen_core.training encode", description=__doc__)
    add = parser.add_argument
    add("source", help="folder with manifest.jsonl, tar shards ('clips/{000..012}.tar'), or toon:COUNT[:FIRST_SEED]")
    add("--out", type=Path, required=True, help="folder for the encoded clips; an earlier run's whole files are kept")
    add("--size", type=_size, default=form.size, help="1280x736 (cropped to it), or 736 for the shorter side alone")
    add("--encoders", default="bundled", help="bundled, or a folder like Wan2.2-TI2V-5B-Diffusers")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="where those of a folder run")
    add("--dtype", choices=["float16", "bfloat16"], default="float16", help="precision of latents and captions")
    add("--faces", type=_faces, default=Faces.FIND, metavar="find|require|none",
        help="find faces; leave out clips without; or store no face masks")  # fmt: skip
    add("--most-frames", type=int, default=form.most_frames, help="longest clip at 16 fps, 4n + 1")
    add("--fewest-frames", type=int, default=form.fewest_frames, help="shorter clips are left out")
    add("--skip-long", action="store_true", help="leave out longer clips instead of cutting them")
    add("--sound-only", action="store_true", help="skip the video: clips for the audio branch's own stage")
    add("--workers", type=int, default=1, help="processes; each holds its own encoders")
    add("--part", type=_part, default=(1, 1), metavar="I/N", help="encode part I of N: one for each machine or GPU")
    add("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Encode, and say what became of the clips.

    Returns:
        0, 1 if no clip can be used, 2 for bad input, or 130 if stopped.
    """
    options = parse(arguments)
    try:
        form = ClipForm(options.size, options.most_frames, options.fewest_frames, options.skip_long, options.sound_only)
        config = EncodeConfig(
            options.out, form, options.encoders, options.device, options.dtype, options.faces, options.workers,
            options.part,
        )  # fmt: skip
        source = open_source(options.source)
        total = source.part(options.part[0] - 1, options.part[1]).count
        with tqdm(total=total, unit="clip", file=sys.stderr) as bar:
            report = encode_source(source, config, bar.update)
    except (ImportError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command line talks
        return 2
    summary = {"out": str(options.out), **report.summary()}
    print(json.dumps(summary) if options.json else _sentences(summary))  # noqa: T201
    if not report.finished:
        return INTERRUPTED
    return 0 if report.clips else 1


def _size(text: str) -> tuple[int, int] | int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _faces(text: str) -> Faces:
    try:
        return Faces(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is none of find, require and none.") from error


def _part(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no part; write 1/4 for the first of four.")
    return int(index), int(count)


def _sentences(summary: dict[str, Any]) -> str:
    """The summary for people."""
    lines = [
        f"{summary['clips']} clips of {summary['speakers']} speakers, {summary['hours']:.2f} hours, in {summary['out']}"
        f" ({summary['encoded']} encoded now, {summary['kept']} there before)."
    ]
    if summary["cut"]:
        lines.append(f"{summary['cut']} were longer and cut; their transcripts say more than is heard.")
    lines += [f"Skipped, {reason}: {count}" for reason, count in summary["skipped"].items()]
    if summary["skipped"]:
        lines.append("skipped.jsonl in that folder tells of each.")
    if not summary["finished"]:
        lines.append("Stopped. The same command goes on from here.")
    return "\n".join(lines)
