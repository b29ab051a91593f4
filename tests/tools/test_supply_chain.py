"""The packages of tests and training: each has a reason and hashes, is installed by them, and can be audited."""

import io
import json
import urllib.request
from pathlib import Path

import pytest
from packaging.version import Version

from tools import audit, pinned_hashes
from tools.console import Console, DevError
from tools.environment import HASHES, ROOT, install_once, requirement_lines

PINS = requirement_lines(ROOT / "requirements-dev.txt")


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_every_package_has_its_reason_in_the_line_above(file):
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    for above, line in zip(["", *lines], lines, strict=False):
        if line and not line.startswith("#"):
            assert above.startswith("# "), line


def test_every_pinned_version_has_hashes():
    entries = HASHES.read_text(encoding="utf-8").replace("\\\n", "").splitlines()[1:]
    assert [entry.split()[0] for entry in entries] == PINS
    for entry in entries:
        hashes = entry.split()[1:]
        assert hashes
        assert all(len(digest.removeprefix("--hash=sha256:")) == 64 for digest in hashes), entry


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("ruff-0.17.6-py3-none-win_amd64.whl", "0.17.6"),
        ("python_speech_features-0.6.tar.gz", "0.6"),
        ("x-1.0.exe", None),
        ("x.whl", None),
    ],
)
def test_the_version_of_a_file_is_read_from_its_name(name, version):
    assert pinned_hashes.version_of(name) == (version and Version(version))


def test_hashes_of_all_files_of_the_version_and_of_no_other_are_written(monkeypatch):
    names = ["a-1.0-py3-none-any.whl", "a-1.0.tar.gz", "a-1.0.1.tar.gz", "a-1.0.exe"]
    files = [{"filename": name, "hashes": {"sha256": f"{number}" * 64}} for number, name in enumerate(names)]
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(json.dumps({"files": files}).encode()))
    entry = pinned_hashes.entry_of("a==1.0", "https://index")
    assert entry == f"a==1.0 \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{'1' * 64}\n"
    with pytest.raises(ValueError, match="no file of a==2"):
        pinned_hashes.entry_of("a==2", "https://index")


class Recorder:
    """A pip that installs nothing."""

    def __init__(self, folder):
        self.python, self.console, self.calls = folder / "bin" / "python", Console(), []

    def run(self, *arguments):
        self.calls.append(arguments)


def test_pinned_packages_are_installed_by_their_hashes_before_what_they_need(tmp_path):
    pip = Recorder(tmp_path)
    install_once(pip, "dev", PINS, HASHES)
    first, second = pip.calls
    assert {"--require-hashes", "--no-deps", str(HASHES)} <= set(first)
    assert "--no-deps" not in second
    assert Path(second[-1]).read_text(encoding="utf-8").split() == PINS
    install_once(pip, "dev", PINS, HASHES)
    assert len(pip.calls) == 2


def test_what_is_known_of_a_package_is_told_with_the_version_that_mends_it():
    known = {"id": "CVE-1", "fix_versions": ["2.1"]}
    packages = [{"name": "a", "version": "2.0", "vulns": [known]}, {"name": "b", "version": "1", "vulns": []}]
    assert audit.findings_in(audit.packages_in(json.dumps({"dependencies": packages}), "")) == [
        "a 2.0: CVE-1; mended in: 2.1"
    ]


@pytest.mark.parametrize(("answer", "errors"), [("", "ERROR: no route to host"), ("{}", ""), ("<html>", "x" * 9999)])
def test_that_no_database_answered_is_told(answer, errors):
    with pytest.raises(DevError, match="No database of known vulnerabilities answered, so nothing was audited"):
        audit.packages_in(answer, errors)
