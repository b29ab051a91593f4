"""The released weights' templates run in a real server, with files of the same names and structure at reduced width.

The network is the bundled one, in shards as the release is; the LoRA has the keys and the form of Wan's. The umT5-xxl
text encoder exists at its full size alone and the vocoder is not what is looked at: what needs no file stands for them.
"""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.nodes.test_stock_nodes import differ
from tests.shards import write_shards
from tools.contact_sheet import read_clip
from tools.released_graphs import DOWNLOADS, LORA, RELEASE, RELEASED, RELEASED_FILES, WEIGHTS
from tools.template_titles import WORKFLOWS, api_file, graph_file
from tools.workflow import add_node, bypass_node, set_input
from uniavgen_core.bundled.bundled_files import ASSETS, BUNDLED_MODEL, CODEC_FILE, MODEL_FILE
from uniavgen_core.checkpoint.load_weights import load_model
from uniavgen_core.training.lora import LoraPlan, add_lora, save_lora

SUBGRAPHS = Path(__file__).parents[2] / "subgraphs"
GRAPHS = sorted([*WORKFLOWS.glob("*.json"), *SUBGRAPHS.glob("*.json")])
LAYERS, RANK = ("self_attn.q", "self_attn.v", "cross_attn.k", "ffn.0", "ffn.2"), 4


def few_step_lora(weights):
    """A seeded LoRA of the video branch, with Wan's keys and ComfyUI's prefix."""
    generator = torch.Generator().manual_seed(0)
    lora = {}
    for name in (f"blocks.{block}.{layer}" for block in range(6) for layer in LAYERS):
        rows, columns = weights[f"{name}.weight"].shape
        lora[f"diffusion_model.{name}.lora_down.weight"] = (
            torch.randn(RANK, columns, generator=generator) / columns**0.5
        )
        lora[f"diffusion_model.{name}.lora_up.weight"] = torch.randn(rows, RANK, generator=generator) / 2
        lora[f"diffusion_model.{name}.alpha"] = torch.tensor(float(RANK))
    return lora


@pytest.fixture(scope="module")
def files(server):
    """Put the files into ComfyUI's model folders."""
    models, weights = server.folder / "models", load_file(ASSETS / MODEL_FILE)
    with safe_open(ASSETS / MODEL_FILE, "pt") as opened:
        metadata = opened.metadata()
    write_shards(models / "diffusion_models" / "UniAVGen", weights, metadata)
    for folder in ("vae", "loras"):
        (models / folder).mkdir(parents=True, exist_ok=True)
    shutil.copy(ASSETS / CODEC_FILE, models / "vae" / RELEASE.video_vae)
    save_file(few_step_lora(weights), models / "loras" / LORA)
    (server.folder / "input").mkdir(exist_ok=True)
    shutil.copy(ASSETS / "portraits" / "toon_5_happy.png", server.folder / "input" / "example.png")
    yield models
    for part in ("diffusion_models/UniAVGen", f"vae/{RELEASE.video_vae}", f"loras/{LORA}"):
        target = models / part
        shutil.rmtree(target) if target.is_dir() else target.unlink()


def small(name):
    """A template at a size for a test, its text encoder and vocoder those that need no file."""
    workflow = json.loads(api_file(name).read_text())
    workflow = set_input(workflow, "Load the text encoder", "text_encoder", "bundled_toon")
    workflow = set_input(workflow, "Load the audio VAE", "vocoder", "griffin_lim")
    size = {"size": "custom", "size.width": 64, "size.height": 64, "size.fit": "crop"}
    for widget, value in {**size, "task.seconds": 2.0625}.items():
        workflow = set_input(workflow, "Task", widget, value)
    return workflow


@pytest.fixture
def pictures_of(server, files, tmp_path):  # noqa: ARG001 - the files have to be there
    """Run a workflow and read its pictures without loss."""

    def run(workflow):
        images = workflow[next(number for number in workflow if workflow[number]["class_type"] == "UniAVGenSaveVideo")]
        link = images["inputs"]["images"]
        workflow = {**workflow, "900": {"class_type": "SaveImage", "inputs": {"images": link, "filename_prefix": "r"}}}
        found = [file for file in server.run(workflow).files() if file["filename"].endswith(".png")]
        paths = [server.download(file, tmp_path / file["filename"]) for file in found]
        return np.stack([np.asarray(Image.open(path)) for path in sorted(paths)]).astype(int)

    return run


def calls_told(server, before):
    """Calls of the network, by the step cache, which leaves none out here."""
    return [int(calls) for calls in re.findall(r"saved 0 of (\d+) calls", server.log[before:])]


def counted(workflow, before, model):
    """The workflow with a step cache of threshold 0 between a node and its model."""
    options = {"video_threshold": 0.0, "audio_threshold": 0.0, "start_percent": 0.0, "end_percent": 1.0}
    return add_node(workflow, "Count", "UniAVGenStepCache", {"model": model, **options}, (before, "model"))


def test_the_editor_offers_to_download_what_is_missing(page):  # first: the others put the files there
    graph = json.loads(graph_file("released_few_steps").read_text())
    page.evaluate("graph => window.app.loadGraphData(graph)", graph)
    page.get_by_role("button", name="View details").click()
    for file in RELEASED_FILES.values():
        page.get_by_text(file["name"], exact=True).first.wait_for(timeout=10_000)
    assert page.get_by_role("button", name="Download").count() >= len(RELEASED_FILES)


def test_four_steps_at_guidance_one_are_four_calls_of_the_network(pictures_of, server):
    workflow = small("released_few_steps")
    before = len(server.log)
    number = next(n for n in workflow if workflow[n]["class_type"] == "LoraLoaderModelOnly")
    pictures = pictures_of(counted(workflow, "No guidance", [number, 0]))
    assert calls_told(server, before) == [4]
    assert len(pictures) == 33
    assert np.ptp(pictures) > 60


def test_the_few_step_lora_changes_the_picture_and_all_its_keys_are_used(pictures_of, server):
    workflow = small("released_few_steps")
    before = len(server.log)
    with_lora = pictures_of(workflow)
    assert "lora key not loaded" not in server.log[before:]
    assert differ(with_lora, pictures_of(bypass_node(workflow, "Few-step LoRA", "model")))


def write_student(path):
    """A LoRA as training writes it, of both branches and their interactions, with seeded weights."""
    model, plan = load_model(BUNDLED_MODEL, dtype=torch.float32), LoraPlan(interactions=True, rank=RANK, alpha=RANK)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        add_lora(model, plan)
        for parameter in model.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.1)
    save_lora(model, path, plan)


def test_a_students_lora_in_its_place_changes_the_sound_too_and_all_its_keys_are_used(server, files, tmp_path):
    write_student(files / "loras" / "student.safetensors")
    sounds = []
    for file in (LORA, "student.safetensors"):
        before, workflow = len(server.log), set_input(small("released_few_steps"), "Few-step LoRA", "lora_name", file)
        (video,) = [made for made in server.run(workflow).files() if made["filename"].endswith(".mp4")]
        sounds.append(read_clip(server.download(video, tmp_path / f"{len(sounds)}.mp4")).sound)
        assert "lora key not loaded" not in server.log[before:]
    assert np.abs(sounds[0] - sounds[1]).max() > 0.1
    (files / "loras" / "student.safetensors").unlink()


def test_the_releases_own_settings_are_two_calls_in_each_of_fifty_steps(pictures_of, server):
    workflow = small("released")
    assert workflow["10"]["inputs"]["preset"] == "release"
    before = len(server.log)
    pictures_of(counted(workflow, "Sample video and audio", ["1", 0]))
    assert calls_told(server, before) == [100]


def nodes_of(name):
    """Nodes of a saved template."""
    return json.loads(graph_file(name).read_text(encoding="utf-8"))["nodes"]


def note_of(name):
    """Text of the note in a saved template."""
    (text,) = [node["widgets_values"][0] for node in nodes_of(name) if node["type"] == "MarkdownNote"]
    return text


@pytest.mark.parametrize("name", RELEASED)
def test_every_file_that_a_loader_names_is_in_its_list_for_the_editor(name):
    nodes = nodes_of(name)
    listed = {(node["type"], *entry.values()) for node in nodes for entry in node["properties"].get("models", ())}
    used = {node["type"] for node in nodes}
    assert listed == {(kind, *file.values()) for kind, file in RELEASED_FILES.items() if kind in used}
    for kind, file, url, _ in listed:
        assert url.startswith("https://huggingface.co/")
        assert url.endswith(f"/{file}")
        (widgets,) = [node["widgets_values"] for node in nodes if node["type"] == kind]
        assert widgets[0] == file
    text = note_of(name)
    assert WEIGHTS in text
    assert all(url in text for _, _, url, _ in listed)


@pytest.mark.parametrize(
    "path", sorted([*WORKFLOWS.glob("*.json"), *SUBGRAPHS.glob("*.json")]), ids=lambda path: path.stem
)
def test_no_graph_lists_a_file_for_the_editor_that_its_loader_does_not_name(path):
    graph = json.loads(path.read_text(encoding="utf-8"))
    parts = [graph, *(graph.get("definitions") or {}).get("subgraphs", [])]
    for node in (node for part in parts for node in part["nodes"]):
        assert all(file["name"] in node["widgets_values"] for file in node["properties"].get("models", ()))


def test_the_commands_in_note_and_documentation_fetch_the_two_folders_and_nothing_else():
    shards = [f"diffusion_pytorch_model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    network = [*shards, "diffusion_pytorch_model.safetensors.index.json"]
    vocoder = [f"{RELEASE.vocoder}/config.json", f"{RELEASE.vocoder}/model.safetensors"]
    release = ["README.md", *network, "models_t5_umt5-xxl-enc-bf16.pth", "Wan2.2_VAE.pth", *vocoder]
    documentation = WORKFLOWS.parent / "docs" / "models.md"
    texts = [*(note_of(name) for name in RELEASED), documentation.read_text(encoding="utf-8")]
    for command, wanted in zip(DOWNLOADS, (network, vocoder), strict=True):
        words = shlex.split(command)
        assert list(filter_repo_objects(release, allow_patterns=words[words.index("--include") + 1])) == wanted
        assert all(command in text for text in texts)
