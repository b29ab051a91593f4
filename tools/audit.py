"""The verb ``audit``: are vulnerabilities known of the packages that are installed for the tests and for training?

pip-audit asks a public database for every installed version. It lies in an environment of its own, so that what it
needs changes nothing here.
"""

import json
import subprocess
import sysconfig
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from .console import Console, DevError
from .environment import cache_folder, install_once, make_venv
from .pip import Pip, clean_environ

PIP_AUDIT = "pip-audit==2.10.1"
SHOWN = 300
"""Characters of an error that are shown."""


def main(arguments: Sequence[str], console: Console) -> int:
    """Ask a database, print what is known, and return 1 if there is anything."""
    parser = ArgumentParser(prog="dev.py audit", description=__doc__)
    parser.add_argument("--service", choices=("pypi", "osv"), default="pypi", help="database (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args(list(arguments))
    folder = cache_folder() / "audit"
    folder.mkdir(parents=True, exist_ok=True)
    pip = Pip(make_venv(folder), folder, console)
    install_once(pip, "audit", [PIP_AUDIT])
    command = [
        str(pip.python), "-m", "pip_audit", "--path", sysconfig.get_path("purelib"), "--service", options.service,
        "--format", "json", "--progress-spinner", "off",
    ]  # fmt: skip
    with console.phase("audit", "Asking for known vulnerabilities"):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environ())
    packages = packages_in(done.stdout, done.stderr)
    lines = findings_in(packages)
    for line in lines or [f"None is known of {len(packages)} packages."]:
        console.line(line)
    if options.json:
        print(json.dumps({"packages": len(packages), "findings": lines}), flush=True)
    return int(bool(lines))


def packages_in(answer: str, errors: str) -> list[dict[str, Any]]:
    """Packages in the answer of pip-audit.

    Args:
        answer: What it printed.
        errors: What it printed to stderr.

    Raises:
        DevError: It gave no answer, such as because no database could be reached.
    """
    try:
        return json.loads(answer)["dependencies"]
    except (ValueError, KeyError) as error:
        reason = errors.strip().splitlines()[-1:] or ["it said nothing"]
        raise DevError(
            "No database of known vulnerabilities answered, so nothing was audited. Run this where the internet can be "
            f"reached, or with another --service. pip-audit: {reason[0][:SHOWN]}"
        ) from error


def findings_in(packages: Sequence[dict[str, Any]]) -> list[str]:
    """One line for each known vulnerability."""
    lines = []
    for package in packages:
        for known in package.get("vulns", ()):
            mended = ", ".join(known.get("fix_versions", ())) or "none"
            lines.append(f"{package['name']} {package['version']}: {known['id']}; mended in: {mended}")
    return lines
