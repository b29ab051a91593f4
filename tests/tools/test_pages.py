"""README and documentation: links lead somewhere, commands are accepted, pictures are small, both languages agree."""

import re
import runpy
import shlex
import subprocess
import sys
from argparse import ArgumentParser
from itertools import takewhile
from pathlib import Path

import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from tests.shards import write_shards
from tools import door
from tools.contact_sheet import read_clip
from tools.make_doc_pictures import names_of_templates
from uniavgen_core.bundled.bundled_files import ASSETS, MODEL_FILE

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
README, CHINESE = ROOT / "README.md", ROOT / "README.zh.md"
PAGES = [README, CHINESE, *sorted((ROOT / "docs").rglob("*.md"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINK, SOURCE = re.compile(r"\]\(([^)\s]+)\)"), re.compile(r'src="([^"]+)"')
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
IN_A_LINE = re.compile(r"`((?:python (?:dev\.py|-m)|pip install) [^`]+)`")
CHECKED = ("python dev.py", "python -m", "pip install", "accelerate launch -m", "torchrun")
NOT_HERE = {
    "git clone https://github.com/comfyui-uniavgen/ComfyUI-UniAVGen": "git",
    "hf download MCG-NJU/UniAVGen": "download",
    "pip install": "pip install",
    "python dev.py ablate": "hours",
    "python dev.py bundle": "hours",
    "python dev.py distill": "hours",
    "python dev.py evaluate": "takes long",
    "python dev.py bench steps": "takes long",
    "python dev.py bench card": "card",
}
"""Beginnings of commands that need a network, a long time or a card, with a word by which their pages say so."""
RUN = ("python -m uniavgen_core.checkpoint",)
"""Beginnings of commands that are run here as they are, but for the names of files."""
TESTED = {
    "python dev.py ablate --report": "tests/studies/test_ablation.py",
    "python dev.py bench clip": "tests/benchmarks/test_whole_clip.py",
    "python dev.py bench cpu": "tests/benchmarks/test_cpu.py",
    "python dev.py bench drift": "tests/benchmarks/test_drift.py",
    "python dev.py bench editing": "tests/benchmarks/test_editing.py",
    "python dev.py bench flops": "tests/benchmarks/test_flops.py",
    "python dev.py bench levels": "tests/benchmarks/test_levels.py",
    "python dev.py bench memory": "tests/benchmarks/test_memory.py",
    "python dev.py bench roofline": "tests/benchmarks/test_roofline.py",
    "python dev.py bench sync": "tests/benchmarks/test_sync.py",
    "python dev.py demo": "tests/nodes/test_demo.py",
    "python dev.py demo --script": "tests/nodes/test_demo_tasks.py",
    "python dev.py demo --task": "tests/nodes/test_demo_tasks.py",
    "python dev.py package": "tests/nodes/test_installed_package.py",
    "python dev.py test": "tests/tools/test_dev.py",
    "python dev.py torture": "tests/tools/test_torture.py",
    "python -m uniavgen_core.evaluation": "tests/core/evaluation/test_folder.py",
    "python -m uniavgen_core.training encode": "tests/core/training/test_encode_clips.py",
    "python -m uniavgen_core.training estimate": "tests/core/training/test_estimate.py",
    "python -m uniavgen_core.training export": "tests/core/training/test_run_config.py",
    "accelerate launch -m uniavgen_core.training run": "tests/core/training/test_run_config.py",
    "torchrun --nproc-per-node 2 -m uniavgen_core.parallel": "tests/core/parallel/test_split_model.py",
}
"""Beginnings of commands whose work is done, with smaller sizes, by the tests of a file."""
NOT_DECLARED = {
    "vocos": "only those who have trained a Vocos of their own need it",
}
"""Packages that pages name and no extra of the project has, each with the reason."""
MEDIA = ("face.png", "face.jpg", "voice.wav", "song.mp3", "silent.mp4", "clip.mp4", "talk.mp4", "talk.txt")
LONGEST_LINE, LONGEST_README = 120, 150
GENERATED = {"docs/ablations/REPORT.md", "docs/few_steps/steps.md", "docs/few_steps/students.md"}
"""Pages that studies write, whose lines are as long as their texts."""


def text_of(page):
    return page.read_text(encoding="utf-8")


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def outside_code(page):
    """The lines of a page that are neither in a fenced nor in an indented block, with their numbers."""
    fence = False
    for number, line in enumerate(text_of(page).splitlines(), 1):
        fence ^= line.startswith("```")
        if not fence and not line.startswith(("```", "    ")):
            yield number, line


def code_lines(page):
    """Every line of a code block, fenced (but for diagrams) or indented, that is no JSON."""
    text = text_of(page)
    blocks = [block for kind, block in FENCED.findall(text) if kind != "mermaid"]
    blocks += re.findall(r"(?<=\n\n)((?: {4,}\S.*\n)+)", FENCED.sub("", text))
    return [line.strip() for block in blocks if not block.lstrip().startswith("{") for line in block.splitlines()]


def commands():
    """Every command of every page."""
    found = [(name_of(page), line) for page in PAGES for line in (*code_lines(page), *IN_A_LINE.findall(text_of(page)))]
    return sorted({(page, re.sub(r"\s*\n\s*", " ", line)) for page, line in found})


def slug(heading):
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def headings(page):
    return [line.lstrip("#") for _, line in outside_code(page) if re.match(r"#+ ", line)]


def links(page):
    text = "\n".join(line for _, line in outside_code(page))
    return LINK.findall(text) + SOURCE.findall(text)


def target_of(page, link):
    """The path inside the repository that a link leads to, if it does, and its anchor."""
    target, _, anchor = link.partition("#")
    on_main = re.match(rf"{PROJECT['urls']['Repository']}/(?:blob|tree)/main/(.+)", target)
    if on_main:
        return ROOT / on_main.group(1), anchor
    return None if "://" in target else (page.parent / target).resolve() if target else page, anchor


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_and_picture_exists(page):
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for link in links(page):
        path, anchor = target_of(page, link)
        if path:
            assert re.search(rf"^{re.escape(name_of(path))}(/|$)", listed, re.MULTILINE), (
                f"{link} is not in the repository"
            )
            assert not anchor or anchor in map(slug, headings(path)), f"{link}: no such heading"


@pytest.mark.parametrize("page", [page for page in PAGES if name_of(page) not in GENERATED], ids=name_of)
def test_text_is_wrapped(page):
    wide = [(number, line) for number, line in outside_code(page) if len(line) > LONGEST_LINE]
    assert [(number, line) for number, line in wide if not line.startswith("|") and "://" not in line] == []


def test_the_readme_is_short():
    assert len(text_of(README).splitlines()) <= LONGEST_README


def test_the_readme_in_chinese_has_the_same_headings_and_links():
    assert len(headings(CHINESE)) == len(headings(README))
    switch = {README.name, CHINESE.name}
    ours, theirs = ([without_anchor(link) for link in links(page) if link not in switch] for page in (README, CHINESE))
    assert sorted(ours) == sorted(theirs)
    assert CHINESE.name in links(README)
    assert README.name in links(CHINESE)


def without_anchor(link):
    """A link without its anchor."""
    return link.partition("#")[0]


class Accepted(BaseException):
    """Raised in place of the work that a command would do: its options were accepted."""


@pytest.fixture
def only_parsed(monkeypatch, tmp_path):
    """Let commands stop after they have read their options, in a folder with the files that pages name."""
    parse_args = ArgumentParser.parse_args

    def parse_and_stop(self, args=None, namespace=None):
        parse_args(self, args, namespace)
        raise Accepted

    monkeypatch.setattr(ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.chdir(tmp_path)
    for name in MEDIA:
        (tmp_path / name).write_text("text")


def run_module(module, arguments):
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def check_dev(verb, arguments):
    """Have ``dev.py`` read the arguments of a verb; pytest's are paths, and then options of the tests with a value."""
    if verb == "test":
        paths = list(takewhile(lambda argument: not argument.startswith("--"), arguments))
        declared = (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
        assert all((ROOT / path).exists() for path in paths)
        assert all(f'addoption("{option}"' in declared for option in arguments[len(paths) :: 2])
        raise Accepted
    sys.exit(door.main([f"{door.INSIDE}0", verb, *arguments]))


def check_pip(arguments):
    """Accept pip's arguments if they name a file that is there, or packages that the project declares."""
    if arguments[0] == "-r":
        assert (ROOT / Path(arguments[1]).name).is_file()
    else:
        assert set(arguments) <= declared_packages() | set(NOT_DECLARED)
    raise Accepted


def declared_packages():
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    return {re.split(r"[<>=\[]", line)[0] for line in (*PROJECT["dependencies"], *extras)}


def check(command):
    """Have the command line read a command."""
    match shlex.split(command, comments=True):
        case ["python", "dev.py", verb, *arguments]:
            check_dev(verb, arguments)
        case ["pip", "install", *arguments] | ["python", "-m", "pip", "install", *arguments]:
            check_pip(arguments)
        case (
            ["python", "-m", module, *arguments]
            | ["accelerate", "launch", "-m", module, *arguments]
            | ["torchrun", "--nproc-per-node", _, "-m", module, *arguments]
        ):
            run_module(module, arguments)


def beginning_of(command, beginnings):
    """The longest of some beginnings that a command has; empty if it has none."""
    return max((known for known in beginnings if f"{command} ".startswith(f"{known} ")), key=len, default="")


@pytest.mark.parametrize(("page", "command"), commands())
def test_the_options_of_a_command_are_accepted(only_parsed, page, command):  # noqa: ARG001
    if not command.startswith(CHECKED):
        assert beginning_of(command, NOT_HERE), f"{page}: nobody checks this command"
        return
    with pytest.raises(Accepted):
        check(command)


@pytest.mark.parametrize(("page", "command"), commands())
def test_a_command_is_run_by_a_test_or_its_page_says_what_it_needs(page, command):
    known = beginning_of(command, (*RUN, *TESTED, *NOT_HERE))
    assert known, f"{page}: no test runs this command"
    if known in NOT_HERE:
        assert NOT_HERE[known] in text_of(ROOT / page)
    elif known in TESTED:
        tests = (ROOT / TESTED[known]).read_text(encoding="utf-8")
        assert re.split(r"[\s.]", known)[-1].lstrip("-") in tests


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Bundled weights under the names that pages use, whole and in shards, in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "PATH").symlink_to(ASSETS / MODEL_FILE)
    with safe_open(ASSETS / MODEL_FILE, "pt") as opened:
        metadata = opened.metadata()
    write_shards(tmp_path / "FOLDER", load_file(ASSETS / MODEL_FILE), metadata)
    return tmp_path


def test_commands_for_checkpoints_end_well_and_write_the_files_that_they_name(files, monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)
    chosen = sorted({command for _, command in commands() if beginning_of(command, RUN)})
    assert len(chosen) >= 7
    for command in chosen:
        _, _, module, *arguments = shlex.split(command, comments=True)
        with pytest.raises(SystemExit) as left:
            run_module(module, arguments)
        assert not left.value.code, command
        written = [name for name in arguments if name.endswith((".safetensors", ".gguf"))]
        assert all((files / name).stat().st_size > 100_000 for name in written), command


def test_a_wrong_command_is_not_accepted(only_parsed, capsys):  # noqa: ARG001
    for command in ("python dev.py bench flops --colour", "python -m uniavgen_core.checkpoint polish PATH"):
        with pytest.raises(SystemExit):
            check(command)
    with pytest.raises(AssertionError):
        check("pip install left-pad")
    assert "--colour" in capsys.readouterr().err


def test_every_entry_of_the_lists_of_commands_is_needed():
    lines = [command for _, command in commands()]
    known = (*RUN, *TESTED, *NOT_HERE)
    assert {beginning_of(line, known) for line in lines} == set(known)
    assert not set(NOT_DECLARED) & declared_packages()
    for package, reason in NOT_DECLARED.items():
        assert any(package in line for line in lines), package
        assert len(reason.split()) > 3


@pytest.mark.parametrize("name", names_of_templates())
def test_a_template_has_a_small_picture_on_its_page(name):
    path = ROOT / "docs" / "tasks" / f"{name}.webp"
    assert path.stat().st_size < 40_000
    assert Image.open(path).width == 480
    assert f"tasks/{name}.webp" in links(ROOT / "docs" / "tasks.md")


def test_the_readmes_clip_has_sound_and_its_preview_moves():
    clip, preview = ROOT / "docs" / "demo.mp4", ROOT / "docs" / "demo.webp"
    assert clip.stat().st_size < 300_000
    assert preview.stat().st_size < 400_000
    assert abs(read_clip(clip).sound).max() > 0.1
    assert Image.open(preview).n_frames == len(read_clip(clip).frames)
