"""Checkpoints: whole or not there, the newest whole one is found, a damaged one is named and never lost."""

import json
import shutil

import pytest

from uniavgen_core.training.checkpoints import Checkpoints, find_fault, seal


def write(text):
    def fill(folder):
        (folder / "weights").mkdir()
        (folder / "weights" / "part").write_text(text)
        (folder / "state.json").write_text("{}")

    return fill


@pytest.fixture
def checkpoints(tmp_path):
    made = Checkpoints(tmp_path / "run", keep=2)
    for step in (10, 20):
        made.save(step, write(f"weights of {step}"))
    return made


def names(checkpoints):
    return [path.name for path in checkpoints.found()]


def test_only_the_newest_are_kept(checkpoints):
    checkpoints.save(100, write("later"))
    assert names(checkpoints) == ["step-00000100", "step-00000020"]
    assert checkpoints.newest() == checkpoints.path(100)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda folder: (folder / "weights" / "part").write_text("weights of 2O"), r"contents of weights/part"),
        (lambda folder: (folder / "weights" / "part").write_text("weights"), r"weights/part has 7 bytes, not 13"),
        (lambda folder: (folder / "weights" / "part").unlink(), "weights/part is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), r"manifest\.json cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text('{"files": '), r"manifest\.json is not a manifest"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), r"manifest\.json is not a manifest"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_passed_over_but_stays(checkpoints, damage, named):
    damage(checkpoints.path(20))
    with pytest.warns(UserWarning, match=rf"step-00000020 is damaged and passed over: .*{named}"):
        assert checkpoints.newest() == checkpoints.path(10)
    for step in (30, 40, 50):
        checkpoints.save(step, write("later"))
    assert checkpoints.path(20).is_dir()
    assert not checkpoints.path(10).exists()


def test_what_a_broken_run_left_half_written_is_no_checkpoint_and_goes(checkpoints):
    partial = checkpoints.begin(30)
    write("half")(partial)
    assert checkpoints.newest() == checkpoints.path(20)
    checkpoints.save(40, write("whole"))
    assert not partial.exists()
    assert names(checkpoints) == ["step-00000040", "step-00000020"]


def test_a_damaged_checkpoint_of_the_same_step_is_moved_aside(checkpoints):
    for text in ("first", "second"):
        (checkpoints.path(20) / "weights" / "part").write_text(text)
        checkpoints.save(20, write("new"))
    assert (checkpoints.path(20) / "weights" / "part").read_text() == "new"
    aside = sorted(checkpoints.folder.glob("*.damaged*"))
    assert [(path / "weights" / "part").read_text() for path in aside] == ["first", "second"]
    assert names(checkpoints) == ["step-00000020", "step-00000010"]


def test_the_manifest_has_every_file_however_deep_and_hidden(tmp_path):
    write("deep")(tmp_path)
    (tmp_path / "weights" / ".metadata").write_text("hidden")
    seal(tmp_path)
    files = json.loads((tmp_path / "manifest.json").read_text())["files"]
    assert set(files) == {"weights/part", "weights/.metadata", "state.json"}
    assert find_fault(tmp_path) is None
    shutil.rmtree(tmp_path / "weights")
    assert "is missing" in find_fault(tmp_path)


def test_without_any_there_is_none(tmp_path):
    assert Checkpoints(tmp_path / "nowhere", 1).newest() is None
