"""Texts of nodes and templates that the front end shows in its language, and their translations in ``locales``.

ComfyUI reads ``locales/<language>/nodeDefs.json`` and ``main.json`` of every pack. The English files are made from the
schemas and the templates; ``translated_from.json`` holds, for each language and node, a digest of the English texts
that were translated, which shows the nodes whose English has changed since.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .environment import ROOT

LOCALES = ROOT / "locales"
ENGLISH = "en"
LANGUAGES = ("zh", "ja", "ko", "fr", "es", "de", "ru")
FILES = ("nodeDefs.json", "main.json")
DIGESTS = LOCALES / "translated_from.json"
DIGEST_LENGTH = 8
Texts = dict[str, Any]


def node_texts(schema: Any, labels: Mapping[str, Mapping[str, str]]) -> Texts:
    """Texts of a node in the front end's format: name, description, and names and tooltips of inputs and outputs.

    Args:
        schema: The node's schema.
        labels: Labels of options, by the name of their input and by value.
    """
    names: dict[str, str] = {}
    tooltips: dict[str, dict[str, list[str]]] = {}
    for name, label, tooltip, option in _flat(schema.inputs, labels):
        names.setdefault(name, label)
        tooltips.setdefault(name, {}).setdefault(tooltip, []).append(option)
    inputs = {name: {"name": label, "tooltip": _joined(tooltips[name])} for name, label in names.items()}
    outputs = {
        str(index): {"name": output.display_name or output.get_io_type(), "tooltip": output.tooltip}
        for index, output in enumerate(schema.outputs)
    }
    texts = {"display_name": schema.display_name, "description": schema.description, "inputs": inputs}
    return {**texts, "outputs": outputs} if outputs else texts


def _flat(
    inputs: Iterable[Any], labels: Mapping[str, Mapping[str, str]], group: str = "", option: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    """Key, label and tooltip of inputs, and of those that the options of a choice bring along, with that option."""
    for one in inputs:
        yield group + one.id, one.display_name or one.id, one.tooltip or "", option
        for choice in getattr(one, "options", None) or ():
            title = labels.get(one.id, {}).get(getattr(choice, "key", ""), "")
            yield from _flat(getattr(choice, "inputs", ()), labels, f"{group}{one.id}_", short_title(title))


def short_title(label: str) -> str:
    """Label of an option without what it adds in parentheses."""
    return label.partition(" (")[0]


def _joined(tooltips: Mapping[str, list[str]]) -> str:
    """One tooltip for an input that several options share: the editor shows it with each of them.

    Args:
        tooltips: Options by their tooltip of the input.
    """
    if len(tooltips) == 1:
        return next(iter(tooltips))
    return "\n".join(f"{', '.join(options)}: {tooltip}" for tooltip, options in tooltips.items())


def english_files(
    schemas: Iterable[Any], labels: Mapping[str, Mapping[str, str]], templates: Texts
) -> dict[str, Texts]:
    """Content of the English files, by name.

    Args:
        schemas: Schemas of all nodes.
        labels: Labels of options, by the name of their input and by value.
        templates: Texts of the templates.
    """
    main = read(ENGLISH, "main.json")
    options = {name: dict(values) for name, values in labels.items()}
    pack = main.get("uniavgen", {}) | {"options": options, "templates": templates}
    return {
        "nodeDefs.json": {schema.node_id: node_texts(schema, labels) for schema in schemas},
        "main.json": {"uniavgen": pack},
    }


def read(language: str, name: str) -> Texts:
    """Content of a language's file; empty if there is none."""
    path = LOCALES / language / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write(path: Path, content: Texts) -> None:
    """Write JSON for people to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def leaves(texts: Texts, path: str = "") -> dict[str, str]:
    """All texts by their path, such as ``UniAVGenTask/inputs/task/tooltip``."""
    found = {}
    for name, value in texts.items():
        found |= leaves(value, f"{path}{name}/") if isinstance(value, dict) else {path + name: value}
    return found


def digests(english: Mapping[str, Texts]) -> dict[str, str]:
    """Short digest of the English texts of each node, and of all that is no node's."""
    parts = {**english["nodeDefs.json"], "main.json": english["main.json"]}
    packed = {name: json.dumps(texts, sort_keys=True).encode() for name, texts in parts.items()}
    return {name: hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH] for name, content in packed.items()}


def faults(language: str, english: Mapping[str, Texts]) -> list[str]:
    """Texts of a language that are missing, left over or empty, and nodes whose English has changed since."""
    found = []
    for name, texts in english.items():
        wanted, there = leaves(texts), leaves(read(language, name))
        found += [f"{language}/{name}: {key} is missing" for key in wanted.keys() - there.keys()]
        found += [f"{language}/{name}: {key} is left over" for key in there.keys() - wanted.keys()]
        common = wanted.keys() & there.keys()
        found += [f"{language}/{name}: {key} is empty" for key in common if wanted[key] and not there[key]]
    known = _translated_from().get(language, {})
    changed = [name for name, value in digests(english).items() if known.get(name) != value]
    return sorted(found) + [f"{language}: {name} has changed in English since it was translated" for name in changed]


def accept(language: str, english: Mapping[str, Texts]) -> None:
    """Record that a language's translations are of today's English texts."""
    write(DIGESTS, dict(sorted((_translated_from() | {language: digests(english)}).items())))


def _translated_from() -> dict[str, dict[str, str]]:
    return json.loads(DIGESTS.read_text(encoding="utf-8")) if DIGESTS.exists() else {}
