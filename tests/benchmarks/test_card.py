"""The measurement on a card: all of it at toy size on a CPU, and what happens to parts that fail."""

import inspect
import json
import subprocess
import sys
import time
from dataclasses import replace
from math import nan, prod
from pathlib import Path

import comfy.memory_management
import comfy.model_management
import comfy.model_patcher
import comfy_aimdo.control
import comfy_aimdo.model_vbar
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.__main__ import main
from benchmarks.card import clip, hosted, parity, seeded_files
from benchmarks.card.findings import Findings
from benchmarks.card.parts import PARTS, Part, chosen_parts, planned
from benchmarks.card.run_parts import Settings, run_parts
from benchmarks.card.scale import FULL, TOY, Run
from benchmarks.memory import CODEC, GIB
from tests.benchmarks.test_command import run_without
from tests.parity.fixtures import read_json
from uniavgen_core.checkpoint.umt5_files import check_encoder, sizes_of

REHEARSED = ("parity", "step", "clip", "compiled", "train", "toon")
"""All but the parts for smaller cards, which are ``clip`` again: on a CPU there is no memory to occupy."""


@pytest.fixture(scope="module")
def rehearsal(comfyui, tmp_path_factory):  # noqa: ARG001 - so that a missing ComfyUI is a clear failure
    out = tmp_path_factory.mktemp("card")
    assert main(["card", "--rehearse", "--minutes", "20", "--out", str(out), "--parts", *REHEARSED]) == 0
    return out


@pytest.fixture(scope="module")
def results(rehearsal):
    return json.loads((rehearsal / "card_rehearsal.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", REHEARSED)
def test_every_part_runs_to_its_end_and_finds_something(results, name):
    part = results["parts"][name]
    assert (part["status"], part["why"], part["failures"]) == ("done", "", {})
    assert part["tables"]


def test_parity_holds_in_both_precisions_with_both_kinds_of_layers(results):
    rows = results["parts"]["parity"]["tables"][parity.TABLE]
    assert {row.split(",")[0] for row in rows} == {"float32", "bfloat16"}
    assert len(rows) == 8
    assert all(row["holds"] for row in rows.values())


def test_whole_clips_are_timed_from_captions_to_sound_for_every_number_of_steps(results):
    tables = results["parts"]["clip"]["tables"]
    assert list(tables["whole clip"]) == [f"{steps} steps" for steps in TOY.steps]
    shared = ("encode captions", "encode picture", "decode picture", "decode sound")
    for steps, row in tables["whole clip"].items():
        seconds = [tables["stage"][one]["seconds"] for one in (*shared, steps)]
        assert row["seconds"] == pytest.approx(sum(seconds), abs=0.03)


def test_files_that_are_there_are_not_written_again(comfyui, tmp_path):  # noqa: ARG001
    findings, run = Findings(tmp_path / "part.json", time.monotonic() + 60), Run(TOY, tmp_path, None)
    seeded_files.write_files(findings, run)
    assert len(findings.tables.pop("seeded files")) == 4
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    (tmp_path / seeded_files.VAE).unlink()
    seeded_files.write_files(findings, run)
    assert list(findings.tables["seeded files"]) == [seeded_files.VAE]
    changed = {path for path, when in before.items() if path.stat().st_mtime_ns != when}
    assert changed == {tmp_path / seeded_files.VAE}


def test_the_report_names_machine_parts_and_findings(results, rehearsal):
    text = (rehearsal / "card_rehearsal.md").read_text(encoding="utf-8")
    assert results["machine"]["torch"] == torch.__version__.split("+")[0]
    assert f"torch {results['machine']['torch']}" in text
    assert all(f"\n## {name}\n" in text for name in REHEARSED)
    assert "| float32, PyTorch's layers, passes |" in text
    assert all((rehearsal / f"{name}.log").stat().st_size for name in REHEARSED)


def settings(folder, minutes=1.0):
    return Settings(folder, folder, minutes, rehearse=True, classic=False)


def test_parts_that_crash_hang_or_come_too_late_are_named_and_the_others_go_on(tmp_path):
    crashing = Part("no such part", "none", 60, 0, "", ())
    hanging = Part("parity", "parity", 0.05, 0, "", ())
    lacking = Part("toon", "toon_samples", 60, 0, "", ("no_such_package",))
    late = Part("train", "training_steps", 900, 800, "", ())
    found = run_parts([crashing, hanging, lacking, late], settings(tmp_path))["parts"]
    assert [part["status"] for part in found.values()] == [
        "failed", "stopped at its limit", "not started", "not started",
    ]  # fmt: skip
    assert "invalid choice: 'no such part'" in found["no such part"]["why"]
    assert "no_such_package" in found["toon"]["why"]
    assert "at least 800 s" in found["train"]["why"]
    text = (tmp_path / "card_rehearsal.md").read_text()
    assert all(f"| {name} | {part['status']} |" in text for name, part in found.items())


def test_a_part_that_crashes_with_dynamic_memory_management_is_run_again_with_the_classic_one(tmp_path):
    found = run_parts([Part("no such part", "none", 60, 0, "", (), loads=True)], settings(tmp_path))["parts"]
    (note,) = found["no such part"]["notes"]
    assert "dynamic memory management this part was failed" in note
    assert (tmp_path / "no such part-classic.log").is_file()


def test_a_stopped_measurement_keeps_what_it_has_and_leaves_no_process(tmp_path):
    arguments = ["card", "--rehearse", "--out", str(tmp_path), "--work", str(tmp_path), "--parts", "parity", "toon"]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks", *arguments], cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 60
    while not (tmp_path / "parity.json").is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.terminate()
    process.wait(30)
    results = json.loads((tmp_path / "card_rehearsal.json").read_text())
    assert {name: part["status"] for name, part in results["parts"].items()} == {"parity": "interrupted"}


def test_findings_are_on_disk_at_once_and_outlive_an_error(tmp_path):
    findings = Findings(tmp_path / "part.json", time.monotonic() + 60)
    findings.add("table", "row", {"a": 1})
    with findings.attempt("the rest"):
        findings.add("table", "row", {"b": 2})
        raise ValueError("no memory")
    written = json.loads(findings.path.read_text())
    assert written["tables"] == {"table": {"row": {"a": 1, "b": 2}}}
    assert written["failures"] == {"the rest": "ValueError: no memory"}


def test_ten_minutes_do_for_the_first_three_parts_and_what_they_leave_goes_to_the_next():
    plan = planned(PARTS, 10)
    assert [part.name for part, _ in plan[:3]] == ["parity", "step", "clip"]
    assert all(seconds == part.most for part, seconds in plan[:3])
    assert sum(seconds or 0 for _, seconds in plan) <= 600
    assert all(seconds == part.most for part, seconds in planned(PARTS, 60))


def test_parts_are_chosen_by_name_in_the_order_of_worth():
    assert [part.name for part in chosen_parts(["toon", "memory"])] == [
        "memory-24", "memory-16", "memory-12", "memory-8", "toon",
    ]  # fmt: skip
    assert [part.limit_gib for part in chosen_parts(["memory"])] == [24, 16, 12, 8]
    with pytest.raises(ValueError, match=r"no part parcity.*parity"):
        chosen_parts(["parcity"])


def test_a_plan_needs_neither_card_nor_pytorch():
    done = run_without(("torch", "numpy", "comfy"), ["card", "--plan", "--minutes", "3"])
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == [part.name for part in PARTS]
    assert "clip        not started" in done.stdout


def test_without_a_card_the_command_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match=r"needs a CUDA device.*--rehearse"):
        main(["card", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="There is no part"):
        main(["card", "--parts", "all"])


def test_an_error_that_is_no_number_is_the_worst_and_never_holds():
    assert parity.verdict({"a": 0.0, "b": nan, "c": 1.0}, "float32") | {"tensors": 3} == {
        "worst": "nan", "at": "b", "tolerance": "1e-04", "holds": False, "tensors": 3,
    }  # fmt: skip
    assert parity.verdict({"a": 9e-5}, "float32")["holds"]


def test_parity_that_does_not_hold_is_a_failure(monkeypatch, tmp_path):
    monkeypatch.setattr(parity, "recordings", lambda: None)
    monkeypatch.setattr(parity, "sources", lambda *_: [parity.Layers("layers", lambda *_: None)])
    monkeypatch.setattr(parity, "pass_errors", lambda *_: [("case/video", 1.0)])
    monkeypatch.setattr(parity, "run_errors", lambda *_: [("task/video", 0.0)])
    findings = Findings(tmp_path / "part.json", time.monotonic() + 60)
    parity.measure(findings, Run(TOY, tmp_path, None))
    assert list(findings.failures) == ["float32, layers, passes", "bfloat16, layers, passes"]
    assert len(findings.tables[parity.TABLE]) == 4


def test_seeded_files_have_the_names_and_sizes_of_the_real_ones(golden, comfyui, tmp_path):
    def shapes_of(network):
        return {name: tuple(one.shape) for name, one in network.named_parameters() if name not in seeded_files.TWICE}

    def numbers(network):
        return sum(map(prod, shapes_of(network).values()))

    assert numbers(seeded_files._network(FULL)) == read_json(golden / "state_dict_full.json")["total"]
    encoder = shapes_of(seeded_files._encoder(FULL))
    assert check_encoder(encoder, sizes_of(encoder, "encoder"), "encoder").notices("encoder") == []
    known = read_json(comfyui / "comfy" / "text_encoders" / "umt5_config_xxl.json")
    assert {name: known[name] for name in FULL.encoder} == FULL.encoder
    assert 2 * numbers(seeded_files._vae(FULL)) == pytest.approx(CODEC, rel=0.01)
    assert 4 * numbers(seeded_files._vocoder(FULL, tmp_path)) == pytest.approx(0.46e9, rel=0.05)


def test_comfyui_and_its_offloader_have_what_dynamic_memory_management_needs(comfyui):
    """As ComfyUI's main program uses them; on a card that is found out too late."""
    main_program = (comfyui / "main.py").read_text(encoding="utf-8")
    lines = [line.strip() for line in inspect.getsource(hosted._switch_to_dynamic).splitlines()]
    switches = [line for line in lines if line.startswith("comfy.") and " = " in line]
    assert len(switches) == 2
    assert all(line in main_program for line in (*switches, "import cuda_malloc", "comfy_aimdo.control.init_devices("))
    assert "nvml_pressure" in inspect.signature(comfy_aimdo.control.init).parameters
    assert callable(comfy.model_management.get_all_torch_devices)
    assert issubclass(comfy.model_patcher.ModelPatcherDynamic, comfy.model_patcher.ModelPatcher)
    assert callable(comfy.model_management.reset_cast_buffers)
    assert callable(comfy_aimdo.model_vbar.vbars_reset_watermark_limits)
    assert comfy.memory_management.aimdo_enabled is False
    assert (comfyui / "cuda_malloc.py").is_file()


@pytest.fixture
def card(monkeypatch):
    """A card of 100 GiB on which 30 GiB are in use."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (70 * GIB, 100 * GIB))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 90 * GIB)
    for name in ("synchronize", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda: None)


@pytest.mark.usefixtures("card")
def test_beyond_a_smaller_cards_memory_all_is_occupied():
    with FakeTensorMode(), hosted.smaller_card("cuda", 24) as ballast:
        assert ballast == 76 * GIB
    with hosted.smaller_card("cuda", None) as ballast:
        assert ballast == 0
    with pytest.raises(ValueError, match=r"100.0 GiB.*limit of 128"), hosted.smaller_card("cuda", 128):
        pass


@pytest.mark.usefixtures("card")
def test_peaks_leave_out_what_takes_the_place_of_missing_memory():
    with hosted.MemoryWatch("cuda", ballast=20 * GIB) as watch:
        time.sleep(10 * hosted.POLL_SECONDS)
    assert (watch.allocated, watch.used) == (70 * GIB, 10 * GIB)


def test_what_cannot_be_done_in_time_is_left_out(tmp_path):
    findings, sampled = Findings(tmp_path / "part.json", time.monotonic() + 60), []

    class Timed(clip.Studio):
        """A clip whose steps take ten seconds each and all else none."""

        def load(self):
            return None, None, None, None

        def conditioned(self, *_):
            return ()

        def sample(self, *_):
            sampled.append(_[-1])
            self.seconds[f"{sampled[-1]} steps"] = 10.0 * sampled[-1]

        def decode(self, *_):
            for stage in ("encode captions", "encode picture", "decode picture", "decode sound"):
                self.seconds[stage] = 0.0
            for stage in self.seconds:
                self.findings.add(clip.STAGES, stage, {"tensors_gb": 1.0})
            return torch.zeros(1), torch.zeros(1)

    scale = replace(TOY, steps=(4, 12, 50))
    clip.whole_clips(Timed(findings, Run(scale, tmp_path, None), 0, TOY.shapes[0], nodes=None))
    assert sampled == [4]
    assert [note.split(" would")[0] for note in findings.notes] == ["12 steps", "50 steps"]
    assert list(findings.tables["whole clip"]) == ["4 steps"]
