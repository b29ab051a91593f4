"""Mutation testing of a toy module: which of its mutants the toy tests notice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools.mutate import choose, find_tests, mutants_of

ROOT = Path(__file__).parents[2]
SOURCE = '''"""A toy of 3 lines."""


def half(value: int, floor: int | None = None) -> float:
    """Half of 1 value."""
    if floor is None:
        raise ValueError("needs 1 floor")
    return value / 2


def unseen(value):
    return value + value
'''
TEST = """import toy


def test_half():
    assert toy.half(6, 0) == 3
"""


@pytest.fixture
def toy(tmp_path):
    (tmp_path / "toy.py").write_text(SOURCE)
    (tmp_path / "test_toy.py").write_text(TEST)
    return tmp_path / "toy.py"


def mutate(toy, *options):
    command = [sys.executable, str(ROOT / "dev.py"), "--inside=0", "mutate", str(toy), "--json"]
    tests = ["--tests", str(toy.parent / "test_toy.py")]
    return subprocess.run([*command, *tests, *options], capture_output=True, text=True, check=False)


def test_only_what_can_change_behaviour_is_changed(toy):
    changes = [(mutant.before, mutant.after) for mutant in mutants_of(toy)]
    expected = [("floor is None", "floor is not None"), ("value / 2", "value * 2"), ("2", "3"), ("2", "1")]
    assert changes == [*expected, ("value + value", "value - value")]


def test_what_a_test_notices_is_killed_and_what_none_notices_survives_and_no_file_changes(toy):
    done = mutate(toy)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["mutants"], found["killed"]) == (5, 4)
    (survivor,) = found["survivors"]
    assert (survivor["line"], survivor["change"]) == (12, "value + value -> value - value")
    assert f"{toy}:12: return value + value" in done.stdout
    assert toy.read_text() == SOURCE


def test_a_mutant_that_never_ends_is_killed(toy):
    toy.write_text("def empty(n):\n    while n:\n        n -= n\n    return n\n")
    (toy.parent / "test_toy.py").write_text("import toy\n\n\ndef test_empty():\n    assert toy.empty(1) == 0\n")
    found = json.loads(mutate(toy, "--count", "1", "--limit", "5").stdout.splitlines()[-1])
    assert (found["mutants"], found["killed"]) == (1, 1)


def test_a_seed_always_chooses_the_same_mutants_and_another_seed_others():
    folder = [ROOT / "uniavgen_core" / "diffusion"]
    chosen = choose(folder, 10, 3)
    assert len(chosen) == 10
    assert choose(folder, 10, 3) == chosen
    assert choose(folder, 10, 4) != chosen


def test_mutants_are_refused_where_the_unchanged_code_fails(toy):
    (toy.parent / "test_toy.py").write_text("def test_no():\n    assert False\n")
    done = mutate(toy)
    assert done.returncode == 1
    assert "fail on the unchanged code" in done.stderr


def test_the_tests_that_bear_a_modules_name_come_first_and_without_an_import_those_that_mention_its_parts():
    names = [path.name for path in find_tests(ROOT / "uniavgen_core" / "diffusion" / "step_cache.py")]
    assert names[0] == "test_step_cache.py"
    tests = [path.name for path in find_tests(ROOT / "uniavgen_core" / "tasks.py")]
    assert "test_task_table.py" in tests
    assert "test_step_cache.py" not in tests
