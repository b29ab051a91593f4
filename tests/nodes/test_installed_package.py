"""The archive that the Comfy Registry ships, unpacked as ComfyUI-Manager does it into a ComfyUI without other packs.

Every template that needs no released weights is run there by clicking Run in the front end.
"""

import ast
import json
import re
import subprocess
import zipfile
from functools import partial
from urllib.parse import quote

import numpy as np
import pytest
from comfy_extras.frame_interpolation_models.ifnet import IFNet

from tests.nodes.clicked_runs import Editor, is_in_view
from tests.nodes.editor_pages import opened_browser, page_of
from tests.nodes.editor_scripts import LOADED, START_SECONDS, VUE, wait_for_default_graph
from tests.nodes.test_finish import write_files
from tests.nodes.test_released_templates import calls_told
from tests.nodes.test_templates_browser import VIEW
from tools.comfy_server import ComfyServer
from tools.contact_sheet import read_clip
from tools.environment import ROOT, current
from tools.finish_graph import FINISH
from tools.registry_package import write_package
from tools.template_graphs import PICTURE, TEMPLATES
from tools.template_titles import TITLES
from uniavgen_core.bundled.bundled_files import ASSETS
from uniavgen_core.diffusion.sampling_presets import TOON

FOLDER = "uniavgen"
"""ComfyUI-Manager names the folder after the pack's id in the registry."""
SEGMENTS = {"long_video": 3, "long_audio_driven": 3, "long_dubbing": 2}
"""Segments that are sampled, of the templates that have several; one in which nothing is said is not."""
TAKES = {"best_take": 4, "retake": 2}
SAMPLERS = {
    **dict.fromkeys(SEGMENTS, "Long video"),
    "best_take": "Best take",
    "retake": "Retake",
    "build_your_own": "Guidance",
}
"""Titles of the nodes that sample, where it is not the sampler."""
PICTURES = {"best_take": ["Ratings of all takes"], "retake": ["Score before and after"]}
"""Titles of the nodes that show pictures of a template's results."""
OLDER_ENTRIES = (
    r"""_CLASS_MAPPINGS\[["'](.*?)["']\]""",
    r"""@register_node\("(.+)",\s*".+"\)""",
    r""""(\w+)"\s*:\s*{"class":\s*\w+\s*""",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A real ComfyUI with the unpacked archive as its only pack."""
    archive = tmp_path_factory.mktemp("package") / "node.zip"
    write_package(archive)

    def install(custom_nodes):
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(custom_nodes / FOLDER)

    with ComfyServer(current(), install) as server:
        yield server


@pytest.fixture(scope="module")
def pack_folder(installed):
    """The pack's folder in that ComfyUI."""
    return installed.folder / "custom_nodes" / FOLDER


def ids_by_manager(files):
    """Ids of the nodes that ComfyUI-Manager finds by reading Python files.

    Source: ``scanner.py`` of ComfyUI-Manager: a class with a base named ``ComfyNode`` whose ``define_schema`` calls
    ``Schema`` with a literal ``node_id``, and whatever looks like an entry of an older pack's table of nodes.
    """
    found = set()
    for path in files:
        text = path.read_text(encoding="utf-8")
        for part in re.findall(r"_CLASS_MAPPINGS\s*(?::\s*\w+\s*)?=\s*(?:\\\s*)?{([^}]*)}", text):
            found.update(re.findall(r"[\"']([^\"']*)[\"']\s*:", part))
        for pattern in OLDER_ENTRIES:
            found.update(re.findall(pattern, text))
        for kind in ast.walk(ast.parse(text)):
            if isinstance(kind, ast.ClassDef) and any(named(base) == "ComfyNode" for base in kind.bases):
                found.update(schema_ids(kind))
    return found


def named(expression):
    """The last part of a dotted name."""
    return getattr(expression, "attr", getattr(expression, "id", None))


def schema_ids(kind):
    """The literal ``node_id`` of each schema in a class's ``define_schema``."""
    methods = [part for part in kind.body if isinstance(part, ast.FunctionDef) and part.name == "define_schema"]
    calls = [call for method in methods for call in ast.walk(method) if isinstance(call, ast.Call)]
    words = [word for call in calls if named(call.func) == "Schema" for word in call.keywords]
    return [word.value.value for word in words if word.arg == "node_id" and isinstance(word.value, ast.Constant)]


def test_manager_finds_every_node_and_no_other_in_the_package_and_in_the_repository(installed, pack_folder):
    registered = {
        name for name, node in installed.object_info().items() if node["python_module"] == f"custom_nodes.{FOLDER}"
    }
    assert len(registered) > 30
    assert ids_by_manager(pack_folder.rglob("*.py")) == registered
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert ids_by_manager([ROOT / path for path in tracked.splitlines()]) == registered  # it reads a clone of all


@pytest.fixture(scope="module")
def editor(installed):
    """The front end, its nodes drawn by Vue, in one page for all templates."""
    with opened_browser() as browser:
        page = page_of(browser, installed, {**VUE, "Comfy.Minimap.Visible": False}, VIEW)
        editor = Editor(page, installed, FOLDER)
        page.goto(installed.base_url)
        page.wait_for_function(LOADED, timeout=START_SECONDS * 1000)
        wait_for_default_graph(page)
        yield editor


@pytest.mark.parametrize("name", TEMPLATES)
def test_run_makes_the_video_of_a_template_and_its_node_shows_it_in_view(editor, tmp_path, name):
    editor.open(name)
    if name == "quick_start":  # what the box says is what is run
        editor.node(PICTURE.title).locator("textarea").first.fill("red bird yes")
    before = len(editor.server.log)
    entry = editor.click_run(count_at=SAMPLERS.get(name, "Sample video and audio"))
    file, video = editor.shown_video(entry)
    assert editor.page.errors == []
    assert is_in_view(video.bounding_box())
    for title in PICTURES.get(name, ()):
        editor.wait_for_picture(title)
    assert notices_in(entry) == []
    assert calls_told(editor.server, before) == [TOON.steps] * (SEGMENTS | TAKES).get(name, 1)
    check_labels(editor.labels, SEGMENTS.get(name, 0))
    check_clip(read_clip(editor.server.download(file, tmp_path / "clip.mp4")), name)
    said = {node["inputs"].get("transcript") for node in entry["prompt"][2].values()}
    assert name != "quick_start" or "red bird yes" in said


def notices_in(entry):
    """What the nodes of a run told the user."""
    return [notice for output in entry["outputs"].values() for notice in output.get("uniavgen_notices", [])]


def check_labels(labels, segments):
    """Check that the node has shown each segment's number while it was made."""
    assert all(any(b"Segment %d of " % (number + 1) in text for text in labels) for number in range(segments))


def check_clip(clip, name):
    """Check a video of a template: its size and length, that its picture is no plain colour, and that it has sound."""
    assert clip.fps == 16
    assert clip.frames.shape[1:3] == (128, 256 if name == "two_speakers" else 128)
    assert clip.seconds >= 2
    assert np.ptp(clip.frames) > 60
    assert np.abs(clip.sound).max() > 0.01
    assert len(clip.sound) / clip.sample_rate == pytest.approx(clip.seconds, abs=0.1)


def test_run_finishes_a_clip_and_its_node_shows_it_in_view(editor, tmp_path):
    paths = write_files(editor.server.folder / "models", partial(IFNet, channels=[8] * 5))  # RIFE: FILM takes 30 s
    editor.open("finish")
    scale = editor.node(FINISH.title).get_by_label("scale by").locator("input")
    scale.fill("0.13")  # of four times the clip's 128x128
    scale.press("Enter")
    file, video = editor.shown_video(editor.click_run())
    for path in paths:
        path.unlink()
    assert editor.page.errors == []
    assert is_in_view(video.bounding_box())
    clip = read_clip(editor.server.download(file, tmp_path / "clip.mp4"))
    assert (clip.fps, clip.frames.shape[1:3]) == (32, (66, 66))
    assert len(clip.frames) == 2 * len(read_clip(ASSETS / "clips" / "toon_5.mp4").frames)


def test_the_editor_is_given_every_template_of_the_package_and_has_its_nodes(installed, pack_folder):
    assert set(installed.get("/workflow_templates")[FOLDER]) == set(TITLES.values())
    for name, title in TITLES.items():  # a folder `example` or `examples` in the pack would hide them
        graph = installed.get(f"/api/workflow_templates/{FOLDER}/{quote(title)}.json")
        assert graph["nodes"]
        api = json.loads((pack_folder / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
        assert {node["class_type"] for node in api.values()} <= set(installed.object_info())
        assert installed.request(f"/api/workflow_templates/{FOLDER}/{quote(title)}.jpg")


def test_the_editor_is_given_the_scripts_and_the_help_of_every_node(installed, pack_folder):
    scripts = {f"/extensions/{FOLDER}/{path.name}" for path in pack_folder.glob("web/*.js")}
    assert scripts <= set(installed.get("/extensions"))
    for name in ids_by_manager(pack_folder.rglob("*.py")):
        assert installed.request(f"/extensions/{FOLDER}/docs/{name}/en.md").startswith(b"#")


def test_the_modules_that_pages_run_from_the_packs_folder_are_in_the_package(installed, pack_folder):  # noqa: ARG001
    text = "\n".join(page.read_text(encoding="utf-8") for page in pack_folder.glob("docs/*.md"))
    modules = set(re.findall(r"-m (uniavgen_core[.\w]*)", text))
    assert len(modules) >= 3
    for module in modules:
        assert (pack_folder.joinpath(*module.split(".")) / "__main__.py").is_file(), module


def test_the_log_of_all_that_names_no_error(installed):
    assert not re.findall(r"(?i)traceback|\berror\b|import failed|exception", installed.log)
