"""What all tests share: the golden folder, the pack as ComfyUI loads it, and a running ComfyUI with the pack in it.

``python dev.py test`` sets ``COMFYUI_PATH``. Without it, tests that need ComfyUI fail; those in ``tests/core`` do not.
With ``--device cuda``, ``tests/parity`` and ``tests/nodes/test_on_a_card.py`` run on the card.
"""

import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from tools.comfy_server import ComfyServer
from tools.environment import current
from tools.pack import load_pack

ROOT = Path(__file__).parents[1]
THREADS = 1  # two threads wait for each other wherever something else runs on the machine, such as the server
THREADS_OF_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


def pytest_addoption(parser):
    parser.addoption("--golden", type=Path, default=ROOT / "tests" / "golden", help="folder with the numbers to match")
    parser.addoption("--device", choices=("cpu", "cuda"), default="cpu", help="device of parity and on-card tests")
    parser.addoption("--damaged-files", type=int, default=36, help="cases of each kind in test_mutated_files.py")


def pytest_configure(config):
    """Let tests import ComfyUI's modules; before collection, because test modules import them at their top.

    ComfyUI's own base folder is moved to a temporary one, so that nothing is written into its tree.
    """
    gc.disable()  # until all is imported
    os.environ.update(dict.fromkeys(THREADS_OF_LIBRARIES, str(THREADS)))  # here, and in all processes that tests start
    import torch

    config.comfyui_base = None
    torch.set_num_threads(THREADS)
    torch.backends.cudnn.allow_tf32 = False  # with TF32, float32 has ten bits of mantissa
    device = config.getoption("device")
    if device == "cuda" and not torch.cuda.is_available():
        raise pytest.UsageError("--device cuda needs a CUDA device, and there is none.")
    if os.environ.get("COMFYUI_PATH"):
        config.comfyui_base = tempfile.mkdtemp(prefix="uniavgen-tests-")
        sys.path.insert(
            0, os.environ["COMFYUI_PATH"]
        )  # before the repository, whose folder `nodes` has a namesake there
        from comfy.cli_args import args

        args.cpu = device == "cpu"
        args.base_directory = config.comfyui_base


def pytest_collection_finish():
    """Collect garbage less often, and never look through what imports have left: it takes a fifteenth of the time."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(10_000)


def pytest_unconfigure(config):
    if config.comfyui_base:
        shutil.rmtree(config.comfyui_base, ignore_errors=True)


@pytest.fixture(scope="session")
def golden(request):
    """The folder of recorded numbers."""
    return request.config.getoption("golden").resolve()


@pytest.fixture(scope="session")
def device(request):
    """The device of ``--device``, the CPU by default; parity and on-card tests run there."""
    return request.config.getoption("device")


@pytest.fixture(scope="session")
def float32(device):
    """Relative error that float32 may have; on a card, products are summed in another order than on the CPU."""
    return 1e-5 if device == "cpu" else 1e-4


@pytest.fixture(scope="session")
def comfyui():
    """ComfyUI's folder; its modules can be imported."""
    return current().comfyui


@pytest.fixture(scope="session")
def pack(comfyui):  # noqa: ARG001 - asked for so that a missing ComfyUI is a clear failure
    """The node pack, loaded as ComfyUI loads it."""
    return load_pack()


@pytest.fixture(scope="session")
def server():
    """A real ComfyUI process with the pack; see `tools.comfy_server.ComfyServer` for what it offers."""
    with ComfyServer(current()) as running:
        yield running
