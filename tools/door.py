"""The table of verbs, and the two steps of each: make the environment, then start again inside it."""

import importlib
import json
import os
import runpy
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .console import Console, DevError
from .environment import ROOT, cache_folder, prepare
from .pip import clean_environ
from .processes import CALM, IS_WINDOWS, TerminatedError, orderly_signals

INSIDE = "--inside="  # first argument of the second start; its value is the seconds that the first one took


@dataclass(frozen=True)
class Verb:
    """One verb of ``dev.py``.

    Attributes:
        summary: One line for the overview.
        module: Module with the work. One in ``tools`` has ``main(arguments, console)``, any other is run as a program
            with the repository as working folder.
        with_dev: Whether requirements-dev.txt is needed too.
        options: Module of ``tools`` whose ``parse(arguments)`` refuses bad arguments before anything is installed.
        without_dev: First arguments with which requirements-dev.txt is not needed.
    """

    summary: str
    module: str
    with_dev: bool = True
    options: str | None = None
    without_dev: tuple[str, ...] = ()

    def needs_dev(self, arguments: Sequence[str]) -> bool:
        """True if requirements-dev.txt is needed with these arguments."""
        return self.with_dev and not (arguments and arguments[0] in self.without_dev)


VERBS = {
    "ablate": Verb("train the paper's ablations at toon scale; hours, resumable", "studies.ablation"),
    "distill": Verb("train few-step students of the bundled model and compare them; hours", "studies.distillation"),
    "demo": Verb("make a video of a talking face in a real ComfyUI", "tools.demo", False, "tools.demo_options"),
    "test": Verb("run the tests, a real ComfyUI and a browser included; arguments go to pytest", "tools.run_tests"),
    "mutate": Verb("break the code on purpose and see whether tests notice: mutate PATH...", "tools.mutate"),
    "bench": Verb(
        "measure cost and speed, for example: bench flops", "benchmarks", without_dev=("card", "cuda", "roofline")
    ),
    "evaluate": Verb("measure the bundled model, or any clips: evaluate --clips DIR", "toon.evaluation"),
    "train": Verb("train on your clips, for example: train run CONFIG.json", "uniavgen_core.training"),
    "check": Verb("check rules, formatting and types", "tools.check"),
    "torture": Verb("hostile prompts and media, cancels, faults, long service on a real ComfyUI", "tools.torture"),
    "audit": Verb("ask a database for known vulnerabilities of what is installed", "tools.audit"),
    "package": Verb(
        "make the archive that the Comfy Registry ships", "tools.registry_package", False, "tools.registry_package"
    ),
    "bundle": Verb("train the bundled model from seeds; hours, resumable", "toon.training"),
}


def main(arguments: Sequence[str]) -> int:
    """Run ``dev.py`` and return its exit status."""
    console = Console()
    as_json = "--json" in arguments
    try:
        with orderly_signals():
            if arguments and arguments[0].startswith(INSIDE):
                console.seconds["setup"] = float(arguments[0][len(INSIDE) :])
                return _work(arguments[1], arguments[2:], console)
            return _start(arguments, console)
    except DevError as error:
        console.line(f"Error: {error}")
        return _failed(1, str(error), as_json)
    except KeyboardInterrupt as stopped:
        console.line("Stopped.")
        return _failed(143 if isinstance(stopped, TerminatedError) else 130, "stopped", as_json)


def _failed(status: int, message: str, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": message}), flush=True)
    return status


def _start(arguments: Sequence[str], console: Console) -> int:
    """Read the command line, make the environment, and hand over to ``dev.py`` inside it."""
    overview = "\n".join(f"  {name:9}{verb.summary}" for name, verb in VERBS.items())
    usage = f"usage: python dev.py VERB [--cache DIR] [options]\n\nverbs:\n{overview}\n\nMore: dev.py VERB --help\n"
    if not arguments or arguments[0] in ("-h", "--help"):
        console.line(usage)
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in VERBS:
        console.line(f"Error: dev.py has no verb {name!r}.\n\n{usage}")
        return 2
    verb = VERBS[name]
    cache, rest = take_cache(rest)
    if verb.options:
        importlib.import_module(verb.options).parse(rest)
    started = time.monotonic()
    environment = prepare(cache, verb.needs_dev(rest), console)
    environ = {"COMFYUI_PATH": str(environment.comfyui), "COMFYUI_PYTHON": str(environment.python)}
    environ = CALM | (dict(os.environ) if os.environ.get("COMFYUI_PATH") else clean_environ()) | environ
    seconds = f"{time.monotonic() - started:.2f}"
    return _become([str(environment.python), str(ROOT / "dev.py"), INSIDE + seconds, name, *rest], environ)


def take_cache(arguments: Sequence[str]) -> tuple[Path, list[str]]:
    """Split a verb's arguments into the folder that ``--cache`` gives, by default the usual one, and the others."""
    parser = ArgumentParser(prog="dev.py", add_help=False, allow_abbrev=False)
    parser.add_argument("--cache", type=Path)
    known, rest = parser.parse_known_args(list(arguments))
    return (known.cache.expanduser().resolve() if known.cache else cache_folder()), rest


def _become(command: Sequence[str], environ: dict[str, str]) -> int:
    """Replace this process by another; on Windows, where that is not possible, wait for it."""
    sys.stdout.flush()
    sys.stderr.flush()
    if not IS_WINDOWS:
        os.execve(command[0], command, environ)
    process = subprocess.Popen(command, env=environ)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # the console sends Ctrl-C to the child too, which cleans up


def _work(name: str, arguments: Sequence[str], console: Console) -> int:
    """Do the verb's work, inside the environment."""
    module = VERBS[name].module
    if module.startswith("tools."):
        return importlib.import_module(module).main(arguments, console)
    os.chdir(ROOT)
    sys.argv = [f"dev.py {name}", *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            return leaving.code or 0
        raise
    return 0
