"""Hashes of the pinned packages that tests and training need: ``python -m tools.pinned_hashes`` writes their file.

The file has the hashes of all files of a version, for every platform. It has no packages that the pinned ones need:
which of them are needed depends on platform and Python. So dev.py installs the pinned ones by their hashes and without
what they need, and then the rest.
"""

import json
import sys
import urllib.request
from argparse import ArgumentParser
from collections.abc import Sequence

from packaging.requirements import Requirement
from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

from .environment import HASHES, ROOT, requirement_lines

INDEX = "https://pypi.org/simple"
ACCEPT = "application/vnd.pypi.simple.v1+json"
"""Form of the index's answers (PEP 691)."""
HEAD = "# Written by `python -m tools.pinned_hashes`: hashes of all files of each version in requirements-dev.txt.\n"


def main(arguments: Sequence[str]) -> int:
    """Ask the index for the hashes of every pinned version, and write the file."""
    parser = ArgumentParser(prog="python -m tools.pinned_hashes", description=__doc__)
    parser.add_argument("--index", default=INDEX, help="package index with JSON answers (default: %(default)s)")
    options = parser.parse_args(list(arguments))
    entries = [entry_of(pin, options.index) for pin in requirement_lines(ROOT / "requirements-dev.txt")]
    HASHES.write_text(HEAD + "".join(entries), encoding="utf-8")
    return 0


def entry_of(pin: str, index: str) -> str:
    """Lines of one package in the file.

    Args:
        pin: Name and version, as ``ruff==0.17.6``.
        index: Address of the index.

    Raises:
        ValueError: If the index has no file of this version.
    """
    requirement = Requirement(pin)
    (version,) = [Version(each.version) for each in requirement.specifier]
    request = urllib.request.Request(f"{index}/{requirement.name}/", headers={"Accept": ACCEPT})
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = json.load(answer)["files"]
    hashes = sorted(file["hashes"]["sha256"] for file in files if version_of(file["filename"]) == version)
    if not hashes:
        raise ValueError(f"{index} has no file of {pin}.")
    return " \\\n".join([pin, *(f"    --hash=sha256:{digest}" for digest in hashes)]) + "\n"


def version_of(filename: str) -> Version | None:
    """Version of a wheel or a source archive; None for other files."""
    try:
        parsed = parse_wheel_filename(filename) if filename.endswith(".whl") else parse_sdist_filename(filename)
    except (InvalidSdistFilename, InvalidWheelFilename):
        return None
    return parsed[1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
