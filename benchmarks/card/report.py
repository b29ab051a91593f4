"""Markdown of the results, in the form of ``benchmarks/results/``."""

from collections.abc import Mapping
from typing import Any

from uniavgen_core.evaluation.markdown_tables import markdown_table


def markdown(results: Mapping[str, Any]) -> str:
    """Format all results: the machine, the parts and how they ended, and the tables of each."""
    machine = results["machine"]
    title = "Rehearsal at toy size" if results["rehearsal"] else f"Measured on {machine.get('device', 'no device')}"
    versions = ", ".join(f"{name} {value}" for name, value in machine.items() if name != "device")
    rows = [
        [name, one["status"], one["seconds"], one.get("limit_seconds"), one["machine"].get("memory_management")]
        for name, one in results["parts"].items()
    ]
    overview = markdown_table(["part", "status", "seconds", "limit", "memory management"], rows)
    sections = [section(name, one) for name, one in results["parts"].items()]
    return f"# {title}\n\n{versions}.\n\n{overview}\n" + "\n".join(sections)


def section(name: str, outcome: Mapping[str, Any]) -> str:
    """Format one part: a table per kind of finding, then failures and notes."""
    lines = [f"## {name}", ""]
    if outcome["why"]:
        lines += [f"{outcome['status'].capitalize()}: {outcome['why'].rstrip('.')}.", ""]
    for title, rows in outcome["tables"].items():
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        cells = [[row, *(values.get(column) for column in columns)] for row, values in rows.items()]
        lines += [markdown_table([title, *columns], cells)]
    lines += [f"- Failed: {failed}: {error}" for failed, error in outcome["failures"].items()]
    lines += [f"- {note}" for note in outcome["notes"]]
    return "\n".join(lines).rstrip() + "\n"


def summary(name: str, outcome: Mapping[str, Any]) -> str:
    """Format one part for the terminal as soon as it has ended."""
    return f"\n{section(name, outcome)}\n{name}: {outcome['status']} after {outcome['seconds']:.0f} s\n"
