"""Evaluate the bundled model on held-out toons, or with --clips any folder of videos.

``python dev.py evaluate --json`` writes a table as Markdown and JSON, with plots, to the work folder. Generated clips
are kept there, so an interrupted run continues with the same command.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from torch import Tensor

from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL
from uniavgen_core.config import AfterShare
from uniavgen_core.diffusion.sampling_presets import TOON_GUIDANCE, TOON_STEPS
from uniavgen_core.evaluation.__main__ import add_options, evaluate_clips, progress_bar, run, tell

from .. import LAYERS
from .bundle_report import CRITERIA_TASKS, OTHER_TASKS, WORLDS, ToonOptions, evaluate_toons
from .judges import JudgeRecipe, judges_of
from .word_recognizer import VOCABULARY, recognise


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="dev.py evaluate", description=__doc__)
    add_options(parser)
    toons = parser.add_argument_group("held-out toons")
    toons.add_argument("--count", type=int, default=200, help="clips of each task that a criterion is about")
    toons.add_argument("--others", type=int, help="clips of each other task; half as many by default")
    toons.add_argument("--seed", type=int, default=0, help="seed of the held-out toons")
    toons.add_argument("--steps", type=int, default=TOON_STEPS, help="Euler steps")
    toons.add_argument("--video-guidance", type=float, default=TOON_GUIDANCE.video_scale, help="scale of the picture")
    toons.add_argument("--audio-guidance", type=float, default=TOON_GUIDANCE.audio_scale, help="scale of the sound")
    toons.add_argument("--skip-layer", type=int, choices=LAYERS, help="layer that null passes leave out")
    toons.add_argument(
        "--modality-aware-share", type=float, default=TOON_GUIDANCE.modality_aware_share,
        help="share of the steps, from the start, whose null passes have no interactions",
    )  # fmt: skip
    toons.add_argument(
        "--after-share", type=AfterShare, default=TOON_GUIDANCE.after_share,
        metavar=f"{{{','.join(kind.value for kind in AfterShare)}}}", help="guidance of the steps after that share",
    )  # fmt: skip
    toons.add_argument("--model", type=Path, default=BUNDLED_MODEL, help="weights; a codec in the same folder is used")
    toons.add_argument("--tasks", nargs="*", default=CRITERIA_TASKS + OTHER_TASKS, choices=CRITERIA_TASKS + OTHER_TASKS)
    toons.add_argument(
        "--world", choices=WORLDS, default="steady", help="lively: chance decides what conditions do not"
    )
    toons.add_argument("--takes", type=int, default=24, help="lively cases that are generated several times each")
    return parser.parse_args(arguments)


class ToonWords:
    """The toons' word recognizer, trained or loaded from ``folder`` on first use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def knows(self, words: Sequence[str]) -> bool:
        """Return True if all of these words are in the toons' vocabulary."""
        return set(words) <= set(VOCABULARY)

    def hear(self, mel: Tensor) -> str:
        """Recognise the words of a natural log-mel, (80, S)."""
        return recognise(judges_of(self.folder, JudgeRecipe(), tell).words, mel[None])[0]


def evaluate_bundle(options: argparse.Namespace) -> dict:
    """Evaluate a model on held-out toons."""
    others = max(1, options.count // 2) if options.others is None else options.others
    given = {field.name: getattr(options, field.name) for field in fields(ToonOptions) if field.name != "others"}
    toons = ToonOptions(others=others, **given)
    counts = [options.count if task in CRITERIA_TASKS else others for task in options.tasks]
    advance = None

    def on_batch(task: str, count: int) -> None:
        nonlocal advance
        advance = advance or progress_bar(sum(counts))
        del task
        advance(count)

    return evaluate_toons(toons, JudgeRecipe(), tell, on_batch)


def evaluate(options: argparse.Namespace) -> dict:
    """Evaluate a folder of clips if one is given, otherwise the bundled model."""
    if options.clips is not None:
        return evaluate_clips(options, ToonWords(options.work / "judges"))
    return evaluate_bundle(options)


def main(arguments: list[str]) -> int:
    """Evaluate, and print the paths of the report; see ``run``."""
    return run(parse(arguments), evaluate)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
