"""The archive that the Comfy Registry ships, unpacked as ComfyUI-Manager does it into a ComfyUI without other packs."""

import ast
import json
import re
import subprocess
import zipfile

import pytest

from tools.comfy_server import ComfyServer
from tools.environment import ROOT, current
from tools.registry_package import write_package
from tools.template_graphs import TEMPLATES

FOLDER = "uniavgen"
"""ComfyUI-Manager names the folder after the pack's id in the registry."""
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


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_of_the_package_runs(installed, pack_folder, name):
    graph = json.loads((pack_folder / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    assert any(file["filename"].endswith(".mp4") for file in installed.run(graph).files())


def test_the_editor_is_given_every_template_of_the_package_and_has_its_nodes(installed, pack_folder):
    names = {path.stem for path in pack_folder.glob("workflows/*.json")}
    assert set(installed.get("/workflow_templates")[FOLDER]) == names
    for name in names:  # a folder `example` or `examples` in the pack would hide them
        graph = installed.get(f"/api/workflow_templates/{FOLDER}/{name}.json")
        assert graph["nodes"]
        api = json.loads((pack_folder / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
        assert {node["class_type"] for node in api.values()} <= set(installed.object_info())
        assert installed.request(f"/api/workflow_templates/{FOLDER}/{name}.jpg")


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
