"""What tests of nodes share: the bundled model in this process, the golden network as a MODEL, the editor."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.nodes.editor_pages import SETTINGS, Editors, opened_browser
from tests.nodes.studio import Studio
from tests.parity.fixtures import Golden
from uniavgen_core.checkpoint.config_from_weights import metadata_of

QUICK_ITERATIONS = 16  # of Griffin-Lim, 100 by default


@pytest.fixture(scope="session")
def studio(pack):
    """The pack's nodes with the bundled model."""
    return Studio(pack)


@pytest.fixture(autouse=True, scope="module")
def forget_dead_models():
    """Let ComfyUI forget MODELs that tests have dropped: for each, it would collect all garbage before every load."""
    yield
    from comfy import model_management

    loaded = model_management.current_loaded_models
    loaded[:] = [model for model in loaded if not model.is_dead()]


@pytest.fixture
def as_comfyui_runs_nodes():
    """Run the test in inference mode."""
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def quick_sound(pack):
    """The bundled model's sound from a few iterations, for long films in which its quality is not the point."""
    vocoder = pack.uniavgen_core.media.audio.griffin_lim.GriffinLim(QUICK_ITERATIONS)
    shared = pack.nodes.host.media.shared_griffin_lim.RESULT_VOCODER
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared, "vocoder", vocoder)
        yield


@pytest.fixture(scope="session")
def golden_runs(golden):
    """The release's recorded sampling runs."""
    return Golden(golden, "sampling_f32", "sampling")


@pytest.fixture(scope="session")
def golden_model(pack, golden_runs, tmp_path_factory):
    """The small golden network as a MODEL, through a file."""
    path = tmp_path_factory.mktemp("golden") / "small.safetensors"
    weights = {name: golden_runs.seeded(name, shape) for name, shape in golden_runs.shapes.items()}
    save_file(weights, path, metadata=metadata_of(golden_runs.config()))
    return pack.nodes.host.model.load_model.load_uniavgen(str(path))


@pytest.fixture
def vocoders(pack):  # noqa: ARG001 - the pack adds the model folder
    """ComfyUI's folder of vocoders, emptied afterwards."""
    import folder_paths

    roots = [Path(folder_paths.get_folder_paths(key)[0]) for key in ("vocoders", "diffusion_models")]
    for root in roots:
        root.mkdir(parents=True, exist_ok=True)
    yield roots[0]
    for root in roots:
        shutil.rmtree(root)
        root.mkdir()


@pytest.fixture
def load(pack):
    """The node that loads a vocoder."""
    return pack.nodes.loaders.LoadAudioVAE


@pytest.fixture
def latents(studio, tmp_path, monkeypatch):
    """The nodes that save and load latents, with empty input and output folders."""
    import folder_paths

    from tests.nodes.saved_latents import SavedLatents

    for name in ("input", "output"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(folder_paths, f"{name}_directory", str(tmp_path / name))
    return SavedLatents(studio.nodes.latent_files, tmp_path)


@pytest.fixture
def settings():
    """Settings of the editor beside ``editor_pages.SETTINGS``; parameters of this name replace it."""
    return {}


@pytest.fixture(scope="module")
def editors(server):
    """Pages of the editor for the tests of a module."""
    with opened_browser() as browser:
        yield Editors(server, browser)
    server.post("/settings", SETTINGS)


@pytest.fixture
def page(request, server, settings):
    """ComfyUI's front end, loaded, with nothing running; ``errors`` are those that it told its console.

    Tests with the mark ``shares_pages`` get one for all tests of their module. While it is open, no other event loop
    can run in their process: such modules leave it to the editor to queue prompts.
    """
    if request.node.get_closest_marker("shares_pages"):
        yield request.getfixturevalue("editors").page(settings)
    else:
        with opened_browser() as browser:
            yield Editors(server, browser).page(settings)
        server.post("/settings", SETTINGS)
