"""The verb ``mutate``: break the code on purpose, one small change at a time, and see which changes no test notices.

A changed module exists only in the memory of a child process; no file is written.
"""

import ast
import json
import multiprocessing
import os
import random
import re
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
import torch  # noqa: F401 - imported once; forked children inherit it

from .console import Console, DevError
from .environment import ROOT
from .processes import IS_WINDOWS

TESTS = ("tests/core", "tests/toon", "tests/parity")
OPERATORS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
}  # fmt: skip
CALLS = {
    "min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "amin": "amax", "amax": "amin",
    "clamp_min": "clamp_max", "clamp_max": "clamp_min",
}  # fmt: skip
SKIPPED_FIELDS = {"annotation", "returns", "decorator_list"}


@dataclass(frozen=True)
class Mutant:
    """One change of one file; ``number`` counts the file's possible changes."""

    path: Path
    number: int
    line: int
    before: str
    after: str

    def describe(self) -> dict[str, str | int]:
        """Place, source line and change, for a report."""
        source = self.path.read_text(encoding="utf-8").splitlines()[self.line - 1].strip()
        change = f"{self.before} -> {self.after}"
        return {"file": _name(self.path), "line": self.line, "source": source, "change": change}


def main(arguments: Sequence[str], console: Console) -> int:
    """Run the tests against mutants and print which of them survive; returns 0 whatever their score."""
    options = _parse(arguments)
    chosen = choose(options.paths, options.count, options.seed)
    tests = {mutant.path: options.tests or find_tests(mutant.path) for mutant in chosen}
    os.chdir(ROOT)
    seconds = _seconds_unmutated(sorted({test for files in tests.values() for test in files}), console)
    limit = options.limit or 2 * seconds + 30
    survivors = []
    for count, mutant in enumerate(chosen):
        console.bar(count / len(chosen), f"{_name(mutant.path)}:{mutant.line}  {len(survivors)} survived")
        if _status(mutant, tests[mutant.path], limit) == 0:
            survivors.append(mutant)
            console.line(_sentence(mutant))
    _report(chosen, survivors, options)
    return 0


def _parse(arguments: Sequence[str]) -> Namespace:
    parser = ArgumentParser(prog="dev.py mutate", description=__doc__, allow_abbrev=False)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="source files, or folders of them")
    parser.add_argument("--tests", nargs="+", type=Path, metavar="PATH", help="tests to run instead of the importers")
    parser.add_argument("--count", type=int, default=40, help="mutants to try at most (default 40)")
    parser.add_argument("--seed", type=int, default=0, help="chooses the mutants (default 0)")
    parser.add_argument("--limit", type=float, help="seconds per mutant (default: twice the unmutated run and 30)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args(list(arguments))
    options.paths = [path.resolve() for path in options.paths]
    options.tests = options.tests and [path.resolve() for path in options.tests]
    return options


def choose(paths: Sequence[Path], count: int, seed: int) -> list[Mutant]:
    """Draw at most ``count`` mutants of source files and of all files in folders, in order; the same for the same seed.

    Raises:
        DevError: A path does not exist, or there is nothing to change.
    """
    if missing := [str(path) for path in paths if not path.exists()]:
        raise DevError(f"There is no {', '.join(missing)}. Name source files or folders of them.")
    files = sorted({file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])})
    pool = [mutant for path in files for mutant in mutants_of(path)]
    if not pool:
        raise DevError("There is nothing to mutate. Name source files with code in them.")
    chosen = random.Random(seed).sample(pool, min(count, len(pool)))
    return sorted(chosen, key=lambda mutant: (mutant.path, mutant.number))


def mutants_of(path: Path) -> list[Mutant]:
    """Every possible mutant of a source file, in the order of the syntax tree."""
    changes = enumerate(_changes(ast.parse(path.read_text(encoding="utf-8"))))
    return [Mutant(path, number, old.lineno, ast.unparse(old), ast.unparse(new)) for number, (_, old, new) in changes]


def find_tests(path: Path) -> list[Path]:
    """Choose the tests that a reader would expect to cover a source file of the repository.

    Returns:
        Test files that bear its name, the other ones beside them, and parity tests that import it; where there are
        none, those elsewhere that import it, or that mention what it defines.
    """
    parts, names = path.relative_to(ROOT).with_suffix("").parts, "|".join(_public_names(path)) or "$^"
    module, package = re.escape(".".join(parts)), re.escape(".".join(parts[:-1]))
    imports = re.compile(rf"\b{module}\b|from {package} import [^\n]*\b{parts[-1]}\b")
    texts = {file: file.read_text(encoding="utf-8") for folder in TESTS for file in (ROOT / folder).rglob("test_*.py")}
    beside, parity = ROOT.joinpath("tests", "core", *parts[1:-1]), ROOT / "tests" / "parity"
    importing = [file for file, text in texts.items() if imports.search(text)]
    named = [file for file in texts if parts[-1] in file.stem]
    near = [file for file in texts if file.parent == beside] if parts[1:-1] else []
    found = {*named, *near, *(file for file in importing if file.parent == parity)} or importing
    found = found or [file for file, text in texts.items() if re.search(rf"\b({names})\b", text)]
    if not found:
        raise DevError(f"No test imports {'.'.join(parts)}. Name the tests to run with --tests.")
    return sorted(found, key=lambda file: (file not in named, file not in importing, file.parent != beside, file))


def _public_names(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = [getattr(node, "name", None) for node in tree.body]
    assigned = [getattr(node, "id", None) for line in tree.body for node in getattr(line, "targets", [])]
    return [name for name in (*defined, *assigned) if name and not name.startswith("_")]


Change = tuple[tuple[ast.AST, str, int | None], ast.AST, ast.AST]  # place (parent, field, index), old node, new node


def _changes(parent: ast.AST) -> Iterator[Change]:
    """Walk a tree in order and yield what may be replaced by what."""
    for field, value in ast.iter_fields(parent):
        if field in SKIPPED_FIELDS:
            continue
        for index, node in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(node, ast.AST) and not _is_skipped(node):
                place = (parent, field, index if isinstance(value, list) else None)
                yield from ((place, node, ast.copy_location(new, node)) for new in _replacements(node))
                yield from _changes(node)


def _is_skipped(node: ast.AST) -> bool:
    """True if nothing in a node is worth a mutant: messages, docstrings, and checks that only help to debug."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, (ast.Raise, ast.JoinedStr)) or (isinstance(node, ast.keyword) and node.arg == "strict")


def _replacements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a node may be replaced by, parameter defaults among the constants."""
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            changed = [*node.ops[:index], OPERATORS[type(operator)](), *node.ops[index + 1 :]]
            yield ast.Compare(node.left, changed, node.comparators)
    elif isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)) and type(node.op) in OPERATORS:
        yield type(node)(**{**dict(ast.iter_fields(node)), "op": OPERATORS[type(node.op)]()})
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield node.operand
    elif isinstance(node, ast.Constant):
        yield from map(ast.Constant, _other_values(node.value))
    elif isinstance(node, (ast.Name, ast.Attribute)):
        yield from _other_names(node)
    if isinstance(node, (ast.Expr, ast.AugAssign)):
        yield ast.Pass()


def _other_values(value: object) -> list[bool | int | float]:
    if isinstance(value, bool):
        return [not value]
    return [value + 1, value - 1] if isinstance(value, (int, float)) else []


def _other_names(node: ast.Name | ast.Attribute) -> list[ast.AST]:
    if isinstance(node, ast.Name):
        return [ast.Name(CALLS[node.id], node.ctx)] if node.id in CALLS else []
    return [ast.Attribute(node.value, CALLS[node.attr], node.ctx)] if node.attr in CALLS else []


def _seconds_unmutated(tests: Sequence[Path], console: Console) -> float:
    """Run the chosen tests on the code as it is; the seconds that takes."""
    started = time.monotonic()
    with console.phase("unmutated", f"Running {len(tests)} test files on the unchanged code"):
        if _status(None, tests, limit=3600.0):
            raise DevError("The tests fail on the unchanged code. Make them pass first; dev.py test shows why.")
    return time.monotonic() - started


def _status(mutant: Mutant | None, tests: Sequence[Path], limit: float) -> int | None:
    """Run tests in a child process; pytest's exit status, or None where it took too long."""
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    process = multiprocessing.get_context(method).Process(target=_run, args=(mutant, [str(test) for test in tests]))
    process.start()
    try:
        process.join(limit)
        return process.exitcode
    finally:
        if not IS_WINDOWS:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()


def _run(mutant: Mutant | None, tests: Sequence[str]) -> None:
    """Replace a module's code as it is loaded, under whatever name, and run the tests in silence."""
    if not IS_WINDOWS:
        os.setsid()
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    if mutant:
        tree = ast.parse(mutant.path.read_text(encoding="utf-8"))
        (parent, field, index), _, new = list(_changes(tree))[mutant.number]
        if index is None:
            setattr(parent, field, new)
        else:
            getattr(parent, field)[index] = new
        code, load = compile(ast.fix_missing_locations(tree), str(mutant.path), "exec"), SourceFileLoader.get_code
        SourceFileLoader.get_code = lambda loader, name: (
            code if Path(loader.path).resolve() == mutant.path else load(loader, name)
        )
    sys.exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])))


def _report(chosen: Sequence[Mutant], survivors: Sequence[Mutant], options: Namespace) -> None:
    tried, missed = (Counter(_name(mutant.path) for mutant in some) for some in (chosen, survivors))
    files = {name: _score(count, missed[name]) for name, count in tried.items()}
    for name, one in files.items():
        print(f"{name:52}{one['killed']:4} of {one['mutants']:3} killed  {one['score']:4.0%}")
    for mutant in survivors:
        print(_sentence(mutant))
    total = {**_score(len(chosen), len(survivors)), "seed": options.seed}
    print("score {score:.1%}: {killed} of {mutants} mutants killed, seed {seed}".format(**total), flush=True)
    if options.json:
        print(json.dumps({**total, "files": files, "survivors": [m.describe() for m in survivors]}), flush=True)


def _score(tried: int, survived: int) -> dict[str, float]:
    killed = tried - survived
    return {"mutants": tried, "killed": killed, "score": round(killed / tried, 3)}


def _sentence(mutant: Mutant) -> str:
    return "survived: {file}:{line}: {source}   [{change}]".format(**mutant.describe())


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)
