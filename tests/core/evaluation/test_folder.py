"""A folder of clips is measured as it is, what cannot be is skipped by name, and every number says who judged."""

import json
import sys
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from tests.clip_files import write_clip
from toon.clips import WORDS, make_clip
from toon.evaluation import __main__ as program
from uniavgen_core.evaluation import folder as folder_module
from uniavgen_core.evaluation.clip_file import list_clips, read_clip
from uniavgen_core.evaluation.folder import FolderMeter, PaperJudges, measure_folder, summary
from uniavgen_core.evaluation.folder_report import write_report

RATE, FPS = 24_000, 16


@pytest.fixture(scope="module")
def toon():
    return make_clip(10_900_001, 33, split="held_out")


@pytest.fixture(scope="module")
def clips(tmp_path_factory, toon):
    """A folder with a good clip, a mute one, and what cannot be used."""
    path = tmp_path_factory.mktemp("clips")
    write_clip(path / "good.mp4", toon.frames, toon.waveform)
    write_clip(path / "mute.mp4", toon.frames[:17])
    (path / "broken.mp4").write_bytes(b"no video at all")
    cv2.imwrite(str(path / "face.png"), toon.frames[0][:, :, ::-1])
    lines = [
        {
            "path": "good.mp4", "transcript": toon.transcript, "reference_image": "face.png",
            "reference_voice": "good.mp4",
        },
        {"path": "mute.mp4", "transcript": "hello"},
        {"path": "broken.mp4"},
        {"path": "gone.mp4"},
        {"caption": "no path"},
    ]  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in lines) + "not json\n"
    (path / "manifest.jsonl").write_text(text)
    return path


class Hears:
    """A word judge that always hears the same."""

    def __init__(self, said):
        self.said = said

    def hear(self, *_):
        return self.said


@pytest.fixture(scope="module")
def found(clips, toon):
    return measure_folder(clips, FolderMeter(PaperJudges(whisper=Hears(toon.transcript.upper() + "!")), None))


def test_what_is_decoded_is_what_was_written(clips, toon):
    clip = read_clip(clips / "good.mp4")
    assert clip.fps == FPS
    assert clip.sample_rate == RATE
    assert np.abs(clip.frames.astype(int) - toon.frames).mean() < 4
    assert abs(len(clip.waveform) - len(toon.waveform)) < 2_100
    shared = slice(2_000, 45_000)
    assert np.corrcoef(clip.waveform[shared], toon.waveform[shared])[0, 1] > 0.9


def test_bad_clips_and_lines_are_skipped_each_with_its_reason(found):
    results, skipped = found
    assert [result.name for result in results] == ["good.mp4", "mute.mp4"]
    assert set(skipped) == {"broken.mp4", "gone.mp4", "manifest.jsonl line 5", "manifest.jsonl line 6"}
    assert "cannot be read as a video" in skipped["broken.mp4"]
    assert '"path"' in skipped["manifest.jsonl line 5"]


def test_a_good_clip_has_every_measure_and_a_mute_one_says_what_is_missing(found):
    good, mute = found[0]
    assert good.values["sync"] > 0.6
    assert abs(good.values["lag_ms"]) <= 63
    assert good.values["word_errors"] == 0
    assert good.values["timbre_reference"] == pytest.approx(1, abs=1e-6)
    assert good.values["subject"] > 0.9
    assert good.values["subject_reference"] > 0.9
    assert good.values["identity"] > 0.8
    assert good.values["sharpness"] == pytest.approx(1, abs=0.3)
    assert good.values["flicker"] < 2
    assert good.values["clipped"] < 1e-3
    assert 0 < good.values["silence"] < 0.8
    assert good.values["babble"] < 0.1
    assert not good.reasons
    assert "sync" not in mute.values
    assert mute.reasons["sync"] == "It has no audio."
    assert mute.values["image"] > 0
    assert mute.values["identity"] > 0.8
    assert "babble" not in mute.values


class Vocabulary:
    """A recognizer of toon words that always says one word too many."""

    def __init__(self, toon):
        self.toon = toon

    def knows(self, words):
        return set(words) <= set(WORDS)

    def hear(self, mel):
        assert mel.shape[0] == 80
        return f"moon {self.toon.transcript}"


def test_without_whisper_only_words_of_the_stand_in_are_recognised_and_the_others_are_named(clips, toon):
    entry = list_clips(clips)[0][0]
    meter = FolderMeter(PaperJudges(), Vocabulary(toon))
    known = meter.measure(entry, "x")
    assert known.by_standin
    assert known.values["word_errors"] == 1
    other = meter.measure(type(entry)(entry.path, transcript="Good morning, London"), "x")
    assert "word_errors" not in other.values
    assert other.reasons["words"].startswith("not measured")
    assert "word_errors" not in FolderMeter(PaperJudges()).measure(entry, "x").values


def test_word_errors_are_summed_over_clips_before_they_are_shared():
    results = [
        folder_module.ClipResult("a", {"word_errors": 1.0, "sync": 0.5}, {}, 2),
        folder_module.ClipResult("b", {"word_errors": 0.0, "sync": 0.7}, {}, 6),
        folder_module.ClipResult("c", {}, {}, 9),
    ]
    assert summary(results) == {"sync": pytest.approx(0.6), "wer": pytest.approx(1 / 8)}


def test_the_report_says_of_each_measure_who_judged_it(found, clips, tmp_path):
    content = write_report(tmp_path, clips, found, PaperJudges(whisper=Hears("")))
    text = (tmp_path / "clips.md").read_text()
    assert "2 measured, 4 skipped." in text
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}
    assert lines["wer"].endswith("Whisper |")
    for name in ("sync", "timbre", "emotion", "subject", "flow", "image"):
        assert "stand-in" in lines[name], name
    assert "broken.mp4" in text
    assert "not comparable" in text or "Nothing here can be compared" in text
    assert json.loads((tmp_path / "clips.json").read_text())["means"] == content["means"]
    assert (tmp_path / "clips-bars.png").stat().st_size > 10_000


def test_the_program_measures_a_folder_and_ends_with_json(clips, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(program, "judges_of", lambda *_: SimpleNamespace(words=None))
    monkeypatch.setattr(program, "recognise", lambda *_: ["moon"])
    assert program.main(["--clips", str(clips), "--work", str(tmp_path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["clips"] == 2
    assert len(answer["skipped"]) == 4


@pytest.mark.parametrize("option", ["--whisper", "--audiobox", "--vbench"])
def test_a_judge_that_is_not_there_is_refused_and_not_fetched(clips, tmp_path, capsys, option):
    arguments = ["--clips", str(clips), "--work", str(tmp_path), option, str(tmp_path / "absent"), "--json"]
    assert program.main(arguments) == 1
    assert "nothing is there" in json.loads(capsys.readouterr().out.splitlines()[-1])["error"]


def test_a_folder_without_clips_is_refused(tmp_path, capsys):
    assert program.main(["--clips", str(tmp_path), "--work", str(tmp_path / "work"), "--json"]) == 1
    assert "has no clips" in capsys.readouterr().out
    with pytest.raises(ValueError, match="not a folder"):
        list_clips(tmp_path / "absent")


def test_stopping_says_that_what_is_there_is_kept(tmp_path, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "evaluate_toons", stop)
    assert program.main(["--work", str(tmp_path), "--json"]) == 130
    captured = capsys.readouterr()
    assert "continues from there" in captured.err
    assert json.loads(captured.out) == {"error": "stopped"}


def test_missing_packages_are_named(tmp_path, monkeypatch):
    from uniavgen_core.evaluation.paper_models import AudioBox, Musiq

    file = tmp_path / "weights"
    file.write_bytes(b"")
    for name, judge in (("audiobox_aesthetics", AudioBox), ("pyiqa", Musiq)):
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.setitem(sys.modules, f"{name}.infer", None)
        with pytest.raises(ImportError, match=f"pip install {name}"):
            judge(file)


def test_audiobox_gets_the_file_and_the_sound_and_its_scores_are_passed_on(tmp_path, monkeypatch):
    from uniavgen_core.evaluation.paper_models import AudioBox

    seen = {}

    class Predictor:
        def forward(self, batch):
            seen["batch"] = batch
            return [{"CE": 1.0, "CU": 2.0, "PC": 3.0, "PQ": 4.0}]

    package, infer = ModuleType("audiobox_aesthetics"), ModuleType("audiobox_aesthetics.infer")
    infer.initialize_predictor = lambda ckpt: seen.update(ckpt=ckpt) or Predictor()
    monkeypatch.setitem(sys.modules, "audiobox_aesthetics", package)
    monkeypatch.setitem(sys.modules, "audiobox_aesthetics.infer", infer)
    file = tmp_path / "checkpoint.pt"
    file.write_bytes(b"")
    assert AudioBox(file).rate(torch.zeros(100), RATE) == {"PQ": 4.0, "CU": 2.0}
    assert seen["ckpt"] == str(file)
    assert seen["batch"][0]["path"].shape == (1, 100)
    assert seen["batch"][0]["sample_rate"] == RATE


def test_lags_of_opposite_sign_do_not_cancel_in_the_summary():
    values = summary([folder_module.ClipResult(str(lag), {"lag_ms": lag}, {}) for lag in (-300.0, 62.5, 0.0, 300.0)])
    assert values == {"median_lag_ms": 181.25, "in_time": 0.5}
