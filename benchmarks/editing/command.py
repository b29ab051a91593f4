"""Options and order of the measurements; see the package."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

from tools.console import Console
from tools.environment import ROOT
from toon.evaluation.judges import JudgeRecipe, Judges, judges_of
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL
from uniavgen_core.diffusion.sampling_presets import TOON_STEPS

from .. import drift
from .best_of_takes import compared
from .dubbed_films import dub_films, dubbed_figures, toon_of
from .editing_report import markdown
from .relip_figures import relip_figures
from .take_rows import Network, RecognizerRecipe, TakeStudio, recognizer_of

PARTS = ("relip", "takes", "long", "dubbing")
LIVELY = ROOT / "toon" / "lively" / "uniavgen_toon.safetensors"
LIVELY_STEPS = 8
WORK = Path("output/editing")
Tell = Callable[[str], None]


def add_options(parser: ArgumentParser) -> None:
    """Add the options of the measurements."""
    add = parser.add_argument
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what is measured; the rest is as it was")
    add("--seed", type=int, default=0, help="seed of the toons")
    add("--relipped", type=int, default=200, help="held-out toons that get new lips")
    add("--sentences", type=int, default=100, help="sentences of each network that get four takes each")
    add("--films", type=int, default=12, help="long films with given sound")
    add("--dubbed", type=int, default=2, help="long films that are dubbed")
    add("--seconds", type=float, default=33.0, help="length of a film")
    add("--keep", type=float, default=0.0, help="seconds that segments of films share; 0 for the model's own")
    add("--judges", type=float, default=1.0, help="multiplies the judges' training, for a rehearsal")
    add("--work", type=Path, default=WORK, help="folder for judges, clips, films and the report")
    add("--threads", type=int, default=1, help="CPU threads")


def measure(options: Namespace) -> dict:
    """Measure the parts that are asked for, and write the report with what earlier runs found of the others."""
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / "editing.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    tell = Console().line

    @cache
    def judges() -> Judges:
        return judges_of(options.work / "judges", JudgeRecipe().scaled(options.judges), tell)

    for part in options.parts:
        results[part] = _MEASURED[part](options, judges, tell)
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        (options.work / "editing.md").write_text(markdown(results), encoding="utf-8")
    return results


def _relip(options: Namespace, judges: Callable[[], Judges], tell: Tell) -> dict:
    return relip_figures(options.relipped, options.seed, options.work, judges(), tell)


def _takes(options: Namespace, judges: Callable[[], Judges], tell: Tell) -> dict:
    recipe = RecognizerRecipe().scaled(options.judges)
    hear = recognizer_of(options.work / "judges", recipe, tell)
    networks = (
        Network("bundled model", BUNDLED_MODEL, "steady", TOON_STEPS),
        Network("network of the lively world", LIVELY, "lively", LIVELY_STEPS),
    )
    found = {}
    for network in networks:
        rows = TakeStudio(network, judges(), hear).rows(options.sentences, options.seed, options.work / "takes", tell)
        found[network.name] = compared(rows, options.seed) | {"sentences": len(rows), "steps": network.steps}
    return found


def _long(options: Namespace, judges: Callable[[], Judges], tell: Tell) -> dict:
    del judges, tell
    sheets = options.work / "films"
    films = Namespace(toons=options.films, seconds=options.seconds, steps=TOON_STEPS, keep=options.keep, sheets=sheets)
    return drift.measure(films)


def _dubbing(options: Namespace, judges: Callable[[], Judges], tell: Tell) -> dict:
    paths = dub_films(options.dubbed, options.seconds, options.seed, options.work / "dubbed", tell)
    toons = [toon_of(number, options.seconds, options.seed) for number in range(options.dubbed)]
    return dubbed_figures(paths, toons, judges()) | {"films": len(paths)}


_MEASURED = {"relip": _relip, "takes": _takes, "long": _long, "dubbing": _dubbing}


def table(results: dict) -> str:
    """Format the results as Markdown."""
    return markdown(results)
