"""The first line of a docstring names the thing or tells what to do with it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("uniavgen_core", "toon", "studies", "nodes", "tools", "benchmarks")
QUESTION = re.compile(r"(What|Which|How|Where)\b")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def first_lines(path):
    """Yield the line number and the first line of every docstring of a file, those of attributes included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, DOCUMENTED) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            text = node.value.value if isinstance(node, ast.Expr) else ast.get_docstring(node)
            if isinstance(text, str) and text.strip():
                yield getattr(node, "lineno", 1), text.strip().splitlines()[0]


def questions(path):
    return [f"{path.relative_to(ROOT)}:{number} {line}" for number, line in first_lines(path) if QUESTION.match(line)]


def sources(folder):
    return sorted((ROOT / folder).rglob("*.py"))


def test_no_docstring_begins_like_a_question():
    paths = [path for folder in FOLDERS for path in sources(folder)]
    assert paths
    assert [entry for path in paths for entry in questions(path)] == []
