"""The archive that the Comfy Registry ships is complete, leads nowhere outside of itself, and says what it is."""

import ast
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest
import yaml
from PIL import Image

from tools.registry_package import shipped_files, write_package

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
SHIPPED = shipped_files()
NEEDED = {
    "__init__.py", "nodes", "uniavgen_core", "web", "workflows", "api_examples", "docs", "pyproject.toml",
    "requirements.txt", "README.md", "README.zh.md", "LICENSE", "THIRD_PARTY_NOTICES.md", "SECURITY.md", "CHANGELOG.md",
}  # fmt: skip
MAY_BE_THERE = {"subgraphs", "locales"}  # folders that ComfyUI reads
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
REPOSITORY = PROJECT["project"]["urls"]["Repository"]
TEXTS = [path for path in SHIPPED if path.endswith((".md", ".py", ".js", ".json"))]
LINK = re.compile(r"\]\(([^)#\s]+)")


def text_of(path):
    return (ROOT / path).read_text(encoding="utf-8")


def imports_of(path):
    """Every import of a module: the possible files of relative ones, and the first names of the others."""
    folder, inside, outside = PurePosixPath(path).parent, [], set()
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.Import):
            outside |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            outside.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            start = folder.parents[node.level - 2] if node.level > 1 else folder
            module = start.joinpath(*(node.module or "").split("."))
            inside += [files_of(module / alias.name) | files_of(module) for alias in node.names]
    return inside, outside


def files_of(module):
    """Files that a module may be in."""
    return {f"{module}.py", str(module / "__init__.py")}


def test_the_archive_has_what_a_user_needs_and_nothing_else():
    top = {path.split("/")[0] for path in SHIPPED}
    assert top >= NEEDED
    assert top <= NEEDED | MAY_BE_THERE


def test_the_archive_holds_the_files_of_the_repository_byte_for_byte(tmp_path):
    written = write_package(tmp_path / "node.zip")
    with zipfile.ZipFile(tmp_path / "node.zip") as archive:
        assert archive.namelist() == written == SHIPPED
        assert all(archive.read(path) == (ROOT / path).read_bytes() for path in SHIPPED)


@pytest.fixture
def clone(tmp_path):
    """A repository of its own with the files of this one's index."""
    folder = tmp_path / "clone"
    subprocess.run(["git", "checkout-index", "--all", f"--prefix={folder}/"], cwd=ROOT, check=True)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "add", "--all", "--force"], cwd=folder, check=True)
    return folder


def comfy(folder, *words):
    """What comfy-cli prints, with settings of its own and without telemetry."""
    command = [sys.executable, "-m", "comfy_cli", "--skip-prompt", "--no-enable-telemetry", *words]
    environment = os.environ | {"HOME": str(folder.parent), "XDG_CONFIG_HOME": str(folder.parent / "config")}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_comfy_cli_finds_the_pack_valid_and_packs_the_files_of_the_archive(clone):
    assert "passed" in comfy(clone, "node", "validate")
    comfy(clone, "node", "pack")
    with zipfile.ZipFile(clone / "node.zip") as archive:
        assert sorted(archive.namelist()) == SHIPPED


def test_nothing_that_is_shipped_imports_what_is_not():
    repository = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    modules = [path for path in SHIPPED if path.endswith(".py")]
    assert len(modules) > 200
    for path in modules:
        inside, outside = imports_of(path)
        assert all(files & set(SHIPPED) for files in inside), f"{path} imports what is left out"
        assert not outside & repository, f"{path} imports {outside & repository} from the repository"


HELP = "web/docs"


@pytest.mark.parametrize("path", [path for path in SHIPPED if path.endswith(".md")])
def test_links_of_a_shipped_page_lead_to_shipped_files_or_to_an_address(path):
    for link in LINK.findall(text_of(path)):
        if "://" not in link:
            folder = HELP if path.startswith(HELP) else Path(path).parent.as_posix()  # the editor reads help from there
            target = (ROOT / folder).joinpath(link).resolve().relative_to(ROOT).as_posix()
            assert any(shipped == target or shipped.startswith(f"{target}/") for shipped in SHIPPED), link
        elif found := re.match(rf"{REPOSITORY}/(blob|tree)/main/(.+)", link):
            assert (ROOT / found.group(2)).exists(), link


@pytest.mark.parametrize("path", [path for path in TEXTS if "dev.py" in text_of(path)])
def test_a_shipped_text_that_names_dev_py_says_first_that_it_is_in_the_repository(path):
    text = text_of(path)
    up_to_there = text[: text.find("\n\n", text.index("dev.py"))]
    assert "repository" in up_to_there or REPOSITORY in up_to_there, "A user of the registry has no dev.py."


def test_every_template_names_the_pack_by_its_id_in_the_registry():
    for path in ROOT.glob("workflows/*.json"):
        graph = json.loads(path.read_text(encoding="utf-8"))
        inside = [node for part in (graph.get("definitions") or {}).get("subgraphs", []) for node in part["nodes"]]
        for node in [*graph["nodes"], *inside]:
            if "Node name for S&R" in node["properties"]:  # the editor marks the server's nodes so
                expected = PROJECT["project"]["name"] if node["type"].startswith("UniAVGen") else "comfy-core"
                assert node["properties"].get("cnr_id") == expected, f"{path.name}: {node['type']}"


def test_what_the_registry_reads_is_valid():
    project, comfy = PROJECT["project"], PROJECT["tool"]["comfy"]
    assert re.fullmatch(r"[a-z](?:[-_.]?[a-z0-9])*", project["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert re.fullmatch(r">=\d+\.\d+\.\d+", comfy["requires-comfyui"])
    assert comfy["PublisherId"]
    assert project["description"]
    marks = {line.split(" :: ", 1)[1] for line in project["classifiers"] if line.startswith("Environment")}
    assert marks <= {"GPU :: NVIDIA CUDA", "GPU :: AMD ROCm", "GPU :: Intel Arc", "GPU :: Apple Metal"}
    assert "Operating System :: OS Independent" in project["classifiers"]
    assert all(address.startswith(REPOSITORY) for address in project["urls"].values())


def test_icon_and_banner_are_in_the_repository_at_the_sizes_the_registry_asks_for():
    raw = REPOSITORY.replace("github.com", "raw.githubusercontent.com") + "/main/"
    icon, banner = (
        Image.open(ROOT / PROJECT["tool"]["comfy"][name].removeprefix(raw)).size for name in ("Icon", "Banner")
    )
    assert icon[0] == icon[1] <= 400
    assert banner[0] * 9 == banner[1] * 21


def publish_workflow():
    return yaml.safe_load((ROOT / ".github" / "workflows" / "publish.yml").read_text(encoding="utf-8"))


def test_publishing_starts_by_hand_or_by_a_change_of_pyproject_toml():
    workflow = publish_workflow()
    starts = workflow[True]  # YAML reads the key `on` as true
    assert starts == {"workflow_dispatch": None, "push": {"branches": ["main"], "paths": ["pyproject.toml"]}}
    (step,) = [step for step in workflow["jobs"]["publish"]["steps"] if "publish-node-action" in step["uses"]]
    assert "REGISTRY_ACCESS_TOKEN" in step["with"]["personal_access_token"]
    assert "is_new == 'true'" in workflow["jobs"]["publish"]["if"]


@pytest.mark.parametrize(("line", "is_new"), [('version = "0.2.0"', True), ('description = "other"', False)])
def test_only_a_new_version_is_published(tmp_path, line, is_new):
    def git(*words):
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        return subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True, text=True)

    git("init", "-q")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.1.0"\n')
    git("add", ".")
    git("commit", "-qm", "first")
    key = line.split()[0]
    kept = [old for old in ("[project]", 'version = "0.1.0"') if not old.startswith(key)]
    (tmp_path / "pyproject.toml").write_text("\n".join([*kept, line]) + "\n")
    (step,) = [step for step in publish_workflow()["jobs"]["version"]["steps"] if step.get("id") == "compare"]
    environ = {"BEFORE": git("rev-parse", "HEAD").stdout.strip(), "GITHUB_OUTPUT": str(tmp_path / "output")}
    command = ["bash", "-e", "-c", step["run"]]
    subprocess.run(command, cwd=tmp_path, check=True, env={"PATH": "/usr/bin:/bin", **environ})
    told = (tmp_path / "output").read_text() if (tmp_path / "output").exists() else ""
    assert ("is_new=true" in told) is is_new
