"""The pack beside other packs: importing it changes nothing that they share."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOOK = """
import json, locale, logging, os, random, signal, sys, threading, warnings
sys.path += [os.environ["COMFYUI_PATH"], sys.argv[1]]
import numpy, torch
from tools.pack import comfyui_arguments, load_pack
comfyui_arguments("test").cpu = True
import comfy.sd, comfy.samplers, comfy.model_management, comfy_api.latest, folder_paths, execution

def comfy_objects():
    found = {}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in {"comfy", "comfy_api", "comfy_execution", "execution", "folder_paths", "nodes"}:
            for key, value in list(vars(module).items()):
                found[f"{name}.{key}"] = id(value)
                if isinstance(value, type) and value.__module__ == name:
                    found |= {f"{name}.{key}.{inner}": id(thing) for inner, thing in vars(value).items()}
    return found

def state():
    flags = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    numbers = numpy.random.get_state()
    return {
        "random": hash(random.getstate()), "numpy": [numbers[0], numbers[1].tolist(), *map(float, numbers[2:])],
        "torch": torch.get_rng_state().tolist(), "warnings": [repr(one) for one in warnings.filters],
        "logging": [logging.root.level, len(logging.root.handlers), logging.getLogger().disabled],
        "flags": [str(torch.get_default_dtype()), torch.get_num_threads(), torch.is_grad_enabled(), *flags,
                  torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()],
        "path": sys.path[:], "environment": dict(os.environ), "folder": os.getcwd(), "locale": locale.setlocale(0),
        "signals": [repr(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)],
        "threads": threading.active_count(), "hooks": [id(sys.excepthook), id(sys.displayhook), len(sys.meta_path)],
        "numpy errors": dict(numpy.geterr()), "recursion": sys.getrecursionlimit(),
    }

before, objects = state(), comfy_objects()
assert len(objects) > 2000
load_pack()
after, now = state(), comfy_objects()
changed = [key for key in before if before[key] != after[key]]
changed += [key for key, number in objects.items() if now.get(key) != number]
print(json.dumps(changed))
"""


@pytest.fixture(scope="module")
def changed(comfyui, tmp_path_factory):
    """Names of what the import of the pack has changed in a fresh process that has imported ComfyUI."""
    folder = tmp_path_factory.mktemp("elsewhere")  # ComfyUI has a module of the name `nodes` too
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(ROOT)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (comfyui, done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_the_pack_changes_no_state_that_all_share(changed):
    assert [name for name in changed if not name.startswith(("comfy", "execution", "folder_paths", "nodes"))] == []


def test_importing_the_pack_replaces_nothing_of_comfyui(changed):
    assert [name for name in changed if name.startswith(("comfy", "execution", "folder_paths", "nodes"))] == []
