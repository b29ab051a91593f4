"""The parts of dev.py that need neither ComfyUI nor a network."""

import importlib.util
import io
import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from tools import archive, environment
from tools.comfy_client import PromptRejectedError, Result
from tools.comfy_server import PACK_NAME, link_pack, remove_base
from tools.console import Console, DevError
from tools.contact_sheet import spectrogram, waveform
from tools.demo import Progress, free_name
from tools.demo_options import parse
from tools.door import VERBS, take_cache
from tools.environment import check_existing
from tools.pip import Pip
from tools.processes import spawn, stop
from tools.workflow import read_workflow, replace_node, set_input, set_value, value_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def workflow():
    return {
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "a man"}, "_meta": {"title": "Caption"}},
        "3": {"class_type": "UniAVGenSpeech", "inputs": {"text": "hello"}, "_meta": {"title": "What is said"}},
        "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurred"}, "_meta": {"title": "Negative caption"}},
        "5": {"class_type": "UniAVGenSampler", "inputs": {"seed": ["9", 0], "steps": 4}},
        "9": {"class_type": "Noise", "inputs": {"noise_seed": 1}},
    }


def test_a_value_goes_to_the_node_of_that_title_and_no_other(workflow):
    changed = set_input(workflow, "Caption", "text", "a woman")
    changed = set_input(changed, "what is said", "text", "goodbye")
    assert [changed[node]["inputs"]["text"] for node in "734"] == ["a woman", "goodbye", "blurred"]


def test_an_example_picture_gives_way_to_a_loaded_one_and_keeps_its_links(workflow):
    workflow["1"] = {"class_type": "Portrait", "inputs": {"face": "a"}, "_meta": {"title": "Image"}}
    changed = replace_node(workflow, "image", "LoadImage", {"image": "b.png"})
    assert changed["1"] == {"class_type": "LoadImage", "inputs": {"image": "b.png"}, "_meta": {"title": "Image"}}
    with pytest.raises(DevError, match="Picture"):
        replace_node(workflow, "Picture", "LoadImage", {})


def test_a_workflow_that_is_changed_stays_as_it_was(workflow):
    set_value(workflow, "steps", 9)
    assert workflow["5"]["inputs"]["steps"] == 4


def test_an_input_linked_to_another_node_is_never_overwritten(workflow):
    workflow["8"] = {"class_type": "UniAVGenLongVideo", "inputs": {"seed": 1}}
    changed = set_value(workflow, "seed", 5)
    assert changed["5"]["inputs"]["seed"] == ["9", 0]
    assert value_of(changed, "seed") == 5


def test_measurements_on_a_card_need_no_packages_of_tests_and_training():
    bench = VERBS["bench"]
    assert not bench.needs_dev(["card", "--minutes", "8"])
    assert bench.needs_dev(["sync"])
    assert bench.needs_dev([])
    assert VERBS["test"].needs_dev(["card"])


def test_an_option_without_a_place_is_refused_by_name(workflow):
    with pytest.raises(DevError, match="width"):
        set_value(workflow, "width", 64)


def test_an_editors_graph_is_not_taken_for_an_api_workflow(tmp_path):
    (tmp_path / "graph.json").write_text('{"nodes": [], "links": []}')
    with pytest.raises(DevError, match="API"):
        read_workflow(tmp_path / "graph.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--width", "100"], "96 and 128"),
        (["--seconds", "0"], "between"),
        (["--steps", "many"], "number"),
        (["--speech", "  "], "empty"),
        (["--image", "nowhere.png"], "no file"),
    ],
)
def test_bad_options_are_refused_before_anything_is_installed(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_the_cache_option_is_taken_from_anywhere_and_the_rest_is_left_to_the_verb(tmp_path):
    cache, rest = take_cache(["-k", "x", "--cache", str(tmp_path), "--cache-clear", "--ca", "core"])
    assert (cache, rest) == (tmp_path.resolve(), ["-k", "x", "--cache-clear", "--ca", "core"])


def test_every_verb_has_a_module_and_every_summary_one_line():
    for verb in VERBS.values():
        assert importlib.util.find_spec(verb.module), verb.module
        assert "\n" not in verb.summary


def test_dev_py_starts_with_nothing_but_the_standard_library():
    """-S hides site-packages and -I hides the working folder."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import dev; dev.main(['demo', '--help'])"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--caption" in done.stdout


def test_the_environments_name_changes_with_what_is_installed(monkeypatch):
    before = environment.environment_key()
    assert environment.environment_key() == before
    monkeypatch.setattr(environment, "TORCH", ("torch==0",))
    assert environment.environment_key() != before


def test_the_environment_and_comfyui_are_compiled_once_after_each_installation(tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    sources = [tmp_path / "venv" / "lib" / "a.py", tmp_path / "ComfyUI" / "b.py"]
    for source in sources:
        source.parent.mkdir()
        source.touch()
    pip = Pip(python, tmp_path, Console(io.StringIO()))

    def compiled():
        environment.compile_once(pip, tmp_path / "ComfyUI")
        found = {path for source in sources for path in source.parent.rglob("*.pyc")}
        for path in found:
            path.unlink()
        return len(found)

    assert [compiled(), compiled()] == [2, 0]
    (tmp_path / "venv" / "installed-dev.txt").write_text("package==1\n")
    assert compiled() == 2


def test_comfyuis_torch_lines_are_left_out_and_torchsde_is_not(tmp_path):
    lines = ["# note", "torch", "torchsde", "torchvision>=0.1", "", "torchaudio ==2", "numpy # x"]
    (tmp_path / "requirements.txt").write_text("\n".join(lines))
    assert environment.host_requirements(tmp_path) == ["torchsde", "numpy"]


def test_a_folder_that_is_no_comfyui_and_a_missing_package_are_named(tmp_path):
    with pytest.raises(DevError, match="not a ComfyUI"):
        check_existing(tmp_path, Path(sys.executable), [])
    (tmp_path / "main.py").touch()
    (tmp_path / "comfy").mkdir()
    check_existing(tmp_path, Path(sys.executable), ["pytest>=1"])
    with pytest.raises(DevError, match="lacks no-such-package==1"):
        check_existing(tmp_path, Path(sys.executable), ["pytest", "no-such-package==1"])


def test_only_the_wanted_part_of_an_archive_is_unpacked_and_nothing_outside_the_folder(tmp_path):
    inside = ["main.py", "a/b.py", "../../evil.py"]
    names = ["top/other.py", *(f"top/vendor/ComfyUI/{entry}" for entry in inside)]
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        for entry in names:
            member = tarfile.TarInfo(entry)
            member.size = 2
            tar.addfile(member, io.BytesIO(b"ok"))
    archive.unpack(tmp_path / "a.tar.gz", PurePosixPath("vendor/ComfyUI"), tmp_path / "out" / "ComfyUI")
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"a.tar.gz", "out/ComfyUI/main.py", "out/ComfyUI/a/b.py"}


def test_an_altered_archive_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"other")
    with pytest.raises(DevError, match="altered"):
        archive.verify(tmp_path / "file", archive.SHA256)


def test_stopping_a_process_ends_what_it_started():
    child = "import time; print('up', flush=True); time.sleep(600)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = spawn([sys.executable, "-c", parent], subprocess.PIPE)
    assert process.stdout.readline().strip() == b"up"
    stop(process)
    process.communicate(timeout=10)  # the pipe ends only when parent and child are gone
    assert process.returncode != 0


def test_removing_a_servers_folder_leaves_the_pack_alone(tmp_path):
    folder = tmp_path / "base"
    link_pack(folder / "custom_nodes")
    assert (folder / "custom_nodes" / PACK_NAME / "dev.py").is_file()
    remove_base(folder)
    assert not folder.exists()
    assert (ROOT / "dev.py").is_file()


def test_a_refused_workflow_says_node_and_reason():
    answer = {
        "error": {"message": "Prompt outputs failed validation"},
        "node_errors": {"3": {"class_type": "Speech", "errors": [{"message": "too long", "details": "speech"}]}},
    }
    assert "Speech: too long (speech)" in str(PromptRejectedError(answer))
    assert "no reason given" in str(PromptRejectedError({"node_errors": []}))


def test_files_are_found_in_any_kind_of_output():
    outputs = {"1": {"images": [{"filename": "a.mp4"}], "animated": [True]}, "2": {"audio": [{"filename": "b.flac"}]}}
    assert [file["filename"] for file in Result(outputs).files()] == ["a.mp4", "b.flac"]


def test_progress_counts_finished_and_cached_nodes_and_the_share_of_the_running_one(workflow):
    shown = []
    console = Console(io.StringIO())
    console.bar = lambda fraction, text: shown.append((fraction, text))
    progress = Progress(workflow, console)
    progress("execution_cached", {"nodes": ["7"]})
    states = {"3": {"state": "finished", "value": 1, "max": 1}, "5": {"state": "running", "value": 2, "max": 4}}
    progress("progress_state", {"nodes": states})
    assert shown == [(2.5 / 5, "UniAVGenSampler 2/4")]


def test_an_earlier_result_is_never_overwritten(tmp_path):
    first = free_name(tmp_path / "a.mp4")
    first.touch()
    first.with_name("a_2.png").touch()
    assert (first.name, free_name(tmp_path / "a.mp4").name) == ("a.mp4", "a_3.mp4")


def test_a_tone_is_dark_at_its_own_height_in_the_spectrogram():
    sample_rate, hertz = 24000, 3000
    tone = np.sin(2 * np.pi * hertz * np.arange(sample_rate) / sample_rate).astype(np.float32)
    picture = np.asarray(spectrogram(tone, 40, 96))
    darkest = picture.mean(axis=1).argmin()
    assert abs(darkest - 96 * (1 - hertz / (sample_rate / 2))) <= 2


def test_the_waveform_is_tall_where_the_sound_is_loud_and_flat_where_it_is_silent():
    sound = np.concatenate([np.zeros(1000), np.ones(1000)]).astype(np.float32)
    ink = (np.asarray(waveform(sound, 20, 40)) < 128).sum(axis=0)
    assert (ink[:10] == 1).all()
    assert (ink[10:] > 30).all()
