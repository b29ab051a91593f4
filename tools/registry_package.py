"""The verb ``package``: the archive that the Comfy Registry ships, with the same files as ``comfy node pack``.

These are the files that git tracks, without those that ``.comfyignore`` names in git's own syntax.
"""

import subprocess
import zipfile
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from .console import Console, DevError
from .environment import ROOT

IGNORED = ("--ignored", "--exclude-from=.comfyignore")
MEBIBYTE = 2**20


def shipped_files() -> list[str]:
    """List the files of the archive by their paths in the repository, with forward slashes, sorted.

    Raises:
        DevError: This is no clone of the repository, or git is missing.
    """
    return sorted(_tracked() - _tracked(*IGNORED))


def _tracked(*options: str) -> set[str]:
    command = ("git", "ls-files", "-z", "--cached", *options)
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise DevError(f"git does not list the files of {ROOT} ({error}). Use a clone of the repository.") from error
    return {path for path in listed.decode().split("\0") if path and (ROOT / path).is_file()}


def write_package(target: Path) -> list[str]:
    """Write the archive as a zip file and return the files in it."""
    files = shipped_files()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(ROOT / path, path)
    return files


def parse(arguments: Sequence[str]) -> Path:
    """Read the command line and return the path of the archive."""
    parser = ArgumentParser(prog="dev.py package", description="Make the archive that the Comfy Registry ships.")
    parser.add_argument("--output", type=Path, default=Path("node.zip"), help="the zip file (default: node.zip)")
    return parser.parse_args(list(arguments)).output


def main(arguments: Sequence[str], console: Console) -> int:
    """Make the archive and say how large it is."""
    target = parse(arguments)
    files = write_package(target)
    console.line(f"{target}: {len(files)} files, {target.stat().st_size / MEBIBYTE:.1f} MiB")
    return 0
