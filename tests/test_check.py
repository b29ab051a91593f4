"""The checks a contributor runs with ``python dev.py check``."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_rules_formatting_and_types_are_clean():
    program = (
        "import sys; from tools.check import main; from tools.console import Console; sys.exit(main([], Console()))"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
