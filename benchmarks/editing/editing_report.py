"""The report on editing: what was demanded of each part, and every figure, as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toon.evaluation.measures import MEASURES
from toon.evaluation.relip_cases import RELIP_BLENDED
from uniavgen_core.evaluation.markdown_tables import legend, markdown_table
from uniavgen_core.tasks import JOINT

from ..drift import FIGURES as LONG_FIGURES
from ..drift import SENTENCE_SECONDS
from .best_of_takes import OVERALL, RANKINGS
from .dubbed_films import FIGURES as SOUND_FIGURES
from .relip_figures import TASKS as RELIP_TASKS
from .take_rows import JUDGED, STAGES, TAKES

SHOWN = (
    "corr", "shuffled", "in_time", "amplitude", "old_raw", "old_corr", "outside", "seam", "words", "voice", "broken",
    "sharpness",
)  # fmt: skip
"""Columns of the table on new lips."""
SEGMENTS = 20
"""Part of a long film that is compared with the first; a segment adds no more than a part."""
_DEFINED = {
    "level, spectrum": "change of the sound over a join, and mean change of its mel bands, dB; elsewhere: at all other "
    "times of the film",
    "timbre": "consistency of the last three parts' voice with that of the first three, 1 for equal statistics",
    "same voice": "share of the parts that the judge of voices hears in the voice of the first ones",
    "words": "share of words right, heard part by part",
}


@dataclass(frozen=True)
class Demand:
    """One demand.

    Attributes:
        name: What is measured.
        value: Measured value.
        bound: The bound in words.
        passed: Whether it is met.
    """

    name: str
    value: float
    bound: str
    passed: bool


def at_least(name: str, value: float, bound: float) -> Demand:
    """Demand that a value is not less than a bound."""
    return Demand(name, value, f"at least {bound:g}", value >= bound)


def at_most(name: str, value: float, bound: float) -> Demand:
    """Demand that a value is not more than a bound."""
    return Demand(name, value, f"at most {bound:g}", value <= bound)


def demands_of(results: Mapping[str, Any]) -> list[Demand]:
    """Demands on the parts that were measured."""
    found = []
    if "relip" in results:
        relip, joint = results["relip"][RELIP_BLENDED], results["relip"][JOINT.name]
        found += [
            at_most("relip: pixels outside the region that changed", relip["outside"], 0.0),
            at_least(
                "relip: correlation with the new sound, as a share of joint's", relip["corr"] / joint["corr"], 0.9
            ),
            at_most("relip: correlation with the old sound, less what the new one explains", relip["old_corr"], 0.2),
            at_least("relip: words right", relip["words"], 0.9),
            at_most("relip: gradient across the edge, as a share of the truth's", relip["seam"], 1.2),
        ]
    for network, found_takes in results.get("takes", {}).items():
        for ranking, words in RANKINGS.items():
            low = found_takes[ranking]["gains"][OVERALL]["low"]
            name = f"best of {TAKES} {words}, {network}: gain overall, lower end of its 95 % interval"
            found.append(Demand(name, low, "above 0", low > 0))
    if "long" in results:
        found += _demands_of_films(results["long"]["parts"])
    return found


def _demands_of_films(parts: Sequence[Mapping[str, float]]) -> list[Demand]:
    """Demands on long films with given sound: identity, lip-sync of each part, and on average over that as drawn."""
    first, last = parts[0], parts[min(SEGMENTS, len(parts)) - 1]
    shares = [part["sync"] / part["sync as drawn"] for part in parts]
    later = sum(shares[1:]) / max(1, len(shares) - 1)
    least = min(part["sync"] for part in parts)
    return [
        at_most(f"long: identity lost from the first to the part {SEGMENTS}, dB", first["psnr"] - last["psnr"], 1.0),
        at_least("long: least lip-sync of a part, as a share of the first's", least / first["sync"], 0.95),
        at_least("long: mean lip-sync after the first part, over that as drawn", later / shares[0], 0.95),
    ]


def markdown(results: Mapping[str, Any]) -> str:
    """Format the report as Markdown."""
    rows = [[one.name, one.value, one.bound, "pass" if one.passed else "FAIL"] for one in demands_of(results)]
    parts = ["# Editing what exists\n", markdown_table(["", "measured", "demanded", ""], rows)]
    if "relip" in results:
        parts += _about_relip(results["relip"])
    for network, found in results.get("takes", {}).items():
        parts += _about_takes(network, found)
    if "long" in results:
        parts += _about_films(results["long"])
    if "dubbing" in results:
        parts += _about_dubbing(results["dubbing"])
    return "\n".join(parts)


def _about_relip(found: Mapping[str, Any]) -> list[str]:
    rows = [[name, *(found[name].get(measure) for measure in SHOWN)] for name in RELIP_TASKS]
    title = f"## New words and lips: {found['clips']} held-out toons\n"
    return [title, markdown_table(["", *SHOWN], rows), legend({name: MEASURES[name] for name in SHOWN})]


def _about_takes(network: str, found: Mapping[str, Any]) -> list[str]:
    """Table of one network: a single take, the best by each ranking, and the gains with their 95 % intervals."""
    names = (OVERALL, *JUDGED)
    rows: list[list] = [["single take", *(found["single"][name] for name in names)]]
    for ranking in (*RANKINGS, "judges"):
        label = RANKINGS.get(ranking, "chosen by the judges themselves")
        rows.append([f"best of {TAKES}, {label}", *(found[ranking]["values"][name] for name in names)])
        rows.append(["gain", *map(_interval, (found[ranking]["gains"][name] for name in names))])
    spent = ", ".join(f"{name} {found['seconds'][name] / TAKES:.2f}" for name in STAGES)
    steps = found["steps"]
    return [
        f"## Best of {TAKES} takes: {network}, {found['sentences']} sentences\n",
        markdown_table(["", *names], rows),
        f"`{OVERALL}`: mean of words, correlation and unbroken frames. In brackets: 95 % of the means of resampled "
        f"sentences. Cost: {TAKES * steps} passes of the network instead of {steps}, and for each take, in seconds of "
        f"one CPU core: {spent}.\n",
    ]


def _interval(gain: Mapping[str, float]) -> str:
    return f"{gain['mean']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})"


def _about_films(found: Mapping[str, Any]) -> list[str]:
    rows = [[number, *(part[name] for name in LONG_FIGURES)] for number, part in enumerate(found["parts"], 1)]
    title = f"## Long video for given sound: {found['toons']} films, parts of {SENTENCE_SECONDS:g} s\n"
    return [title, markdown_table(["part", *LONG_FIGURES], rows)]


def _about_dubbing(found: Mapping[str, Any]) -> list[str]:
    rows = [
        [label, *(found[name][figure] for figure in SOUND_FIGURES), *found[name]["elsewhere"].values()]
        for name, label in (("drawn", "as drawn"), ("made", "dubbed"))
    ]
    head = ["", *SOUND_FIGURES, "level elsewhere", "spectrum elsewhere"]
    title = f"## Long dubbing: {found['films']} films, {found['made']['joins']} joins\n"
    return [title, markdown_table(head, rows), legend(_DEFINED)]
