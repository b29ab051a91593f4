"""The toons' table: truth is right, spoiled clips are not, and what was generated is not generated again."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from toon.evaluation import __main__ as command
from toon.evaluation import bundle_report as toons
from toon.evaluation import generate_cases as generating
from toon.evaluation import measures as toon_measures
from toon.evaluation.cases import CASES, cases_of
from toon.evaluation.criteria import TRUTH, criteria_of, criteria_of_chance
from toon.evaluation.distribution import COLUMNS
from toon.evaluation.generate_cases import Made, Store, generate_all
from toon.evaluation.measures import Row, measure_cases, shuffled
from toon.evaluation.picture_errors import EYES, MOUTH, part_pixels, picture_measures, psnr
from uniavgen_core.bundled.bundled_files import BUNDLED_VIDEO_CODEC, CODEC_FILE, MODEL_FILE
from uniavgen_core.config import AfterShare, GuidanceConfig
from uniavgen_core.pipeline import SampleConfig

FIRST = 10_000_000


@pytest.fixture(scope="module")
def cases():
    return cases_of("joint", 9, FIRST)


@pytest.fixture(scope="module")
def truth(cases):
    return [Made.of(case.frames, case.waveform) for case in cases]


@pytest.fixture
def judges(monkeypatch):
    """Judges that answer by what they are handed: the words, voices and emotions of this list, in order."""
    answers = SimpleNamespace(words=[], voice=[], sound=[], face=[], eyes=[], mouth=[])
    monkeypatch.setattr(toon_measures, "recognise", lambda _, mels: answers.words[: len(mels)])
    monkeypatch.setattr(toon_measures, "heard_classes", lambda judge, mels: torch.tensor(judge[: len(mels)]))
    monkeypatch.setattr(toon_measures, "seen_emotions", lambda judge, _: torch.tensor(judge))
    monkeypatch.setattr(toon_measures, "are_broken", lambda judge, crops: torch.arange(len(crops)) < len(judge))
    return answers


def all_right(judges, cases):
    judges.words[:] = [case.words.text for case in cases]
    judges.voice[:] = [case.voice for case in cases]
    judges.sound[:] = judges.face[:] = [case.emotion for case in cases]
    return judges


def test_truth_is_in_sync_right_and_without_error(cases, truth, judges):
    values = measure_cases(TRUTH, truth, cases, all_right(judges, cases)).values
    assert values["corr"] > 0.75
    assert values["corr"] > values["shuffled"] + 0.1
    assert values["in_time"] == values["words"] == values["voice"] == 1
    assert values["emotion_sound"] == values["emotion_face"] == 1
    assert values["psnr"] == values["psnr_background"] == 99
    assert "other_corr" not in values
    assert values["psnr_eyes"] == values["psnr_mouth"] == 99
    assert values["sharpness"] == pytest.approx(1)
    assert values["broken"] == 0
    assert values["babble"] < 0.05


def test_a_frame_is_broken_if_its_eyes_or_its_mouth_are(cases, truth, judges):
    all_right(judges, cases)
    judges.eyes, judges.mouth = [1] * 8, [1] * 4
    assert measure_cases("x", truth, cases, judges).values["broken"] == pytest.approx(8 / 32)


def test_each_wrong_answer_of_a_judge_counts_once(cases, truth, judges):
    all_right(judges, cases)
    judges.voice[0] = (judges.voice[0] + 1) % 8
    judges.face[:2] = [(emotion + 1) % 3 for emotion in judges.face[:2]]
    judges.words[0] = ""
    values = measure_cases("x", truth, cases, judges).values
    total = sum(len(case.words.text.split()) for case in cases)
    assert values["voice"] == pytest.approx(8 / 9)
    assert values["emotion_face"] == pytest.approx(7 / 9)
    assert values["words"] == pytest.approx(1 - len(cases[0].words.text.split()) / total)


def test_shuffled_sounds_lose_the_sync_and_keep_the_pictures(cases, truth, judges):
    all_right(judges, cases)
    row = measure_cases("x", truth, cases, judges)
    other = measure_cases("y", shuffled(truth), cases, judges)
    assert other.values["corr"] < row.values["corr"] - 0.1
    assert other.values["first_of_8"] < 0.5 < row.values["first_of_8"]
    assert other.values["psnr"] == row.values["psnr"]


def test_a_frozen_picture_has_no_amplitude_and_loses_decibels_where_the_head_moves(cases, truth, judges):
    frozen = [replace(clip, frames=np.repeat(clip.frames[:1], len(clip.frames), 0)) for clip in truth]
    row = measure_cases("x", frozen, cases, all_right(judges, cases))
    assert row.values["amplitude"] < 1.5
    assert row.values["psnr"] < 60
    assert row.values["psnr_background"] == 99
    still = row.movements.get("still")
    assert still is None or all(still >= value for value in row.movements.values())


def test_mouth_and_eyes_do_not_count_and_all_else_does(cases):
    case = cases[0]
    kept, with_eyes = ~part_pixels(case, MOUTH + EYES), ~part_pixels(case, MOUTH)
    x, y = case.mouths[0][0][5].round().astype(int)
    radius = case.mouths[0][1]
    assert not kept[5, y, x]
    assert not kept[5, int(y - 0.68 * radius), int(x + 0.4 * radius)]
    assert with_eyes[5, int(y - 0.68 * radius), int(x + 0.4 * radius)]
    assert kept[5, 2, 2]
    assert 0.7 < kept.mean() < with_eyes.mean() < 0.97
    spoiled = np.where(kept[..., None], case.frames, 0)
    values = picture_measures(spoiled, case)
    assert values["psnr"] == 99
    assert max(values["psnr_eyes"], values["psnr_mouth"]) < 20
    blinking = np.where((case.lids > 0)[:, None, None, None], 0, case.frames)
    assert (case.lids > 0).any()
    assert picture_measures(blinking, case)["psnr_eyes"] == picture_measures(blinking, case)["psnr_mouth"] == 99


def test_blinks_and_speech_alone_leave_the_measured_pixels_as_they_are():
    """A toon that holds still changes only where it is left out, but for its slow bob."""
    case = next(case for case in cases_of("joint", 8, FIRST + 400) if case.movement == "still")
    changed = (np.abs(case.frames.astype(int) - case.frames[:1]).max(-1) > 60) & ~part_pixels(case, MOUTH + EYES)
    assert changed.mean() < 0.02


def test_decibels_of_a_known_error():
    truth = np.full((3, 8, 8, 3), 100, np.uint8)
    kept = np.ones((3, 8, 8), bool)
    assert psnr(truth + 10, truth, kept) == pytest.approx(20 * np.log10(25.5))
    first = truth.copy()
    first[0] = 0  # the first frame is given, so it does not count
    assert psnr(first, truth, kept) == 99


def test_still_pixels_are_those_that_never_change(cases):
    still = cases[0].still
    assert still[:4, :4].all()
    assert not still[30:90, 40:90].all()


@pytest.mark.parametrize("kind", CASES)
def test_fewer_cases_are_the_beginning_of_more(kind):
    few, more = cases_of(kind, 2, FIRST), cases_of(kind, 3, FIRST)
    for one, other in zip(few, more, strict=False):
        assert one.words == other.words
        assert torch.equal(one.mel, other.mel)
    assert cases_of(kind, 1, FIRST + 50)[0].words != few[0].words


def row(name, **values):
    return Row(name, 48, values, (), {})


def test_criteria_compare_with_the_bound_and_with_the_truth():
    rows = {
        TRUTH: row(TRUTH, corr=0.8),
        "joint": row("joint", corr=0.63, in_time=0.95, words=0.84, psnr=28.0, emotion_sound=0.7, emotion_face=0.8),
        "dubbing": row("dubbing", words=0.95),
    }
    passed = {criterion.name.split(":")[0] + criterion.name[-8:]: criterion.passed for criterion in criteria_of(rows)}
    assert [criterion.passed for criterion in criteria_of(rows)] == [False, True, False, True, True, False, True], (
        passed
    )
    assert criteria_of(rows)[0].value == pytest.approx(0.63 / 0.8)
    assert criteria_of({}) == []


def test_finished_batches_are_kept_and_a_stopped_run_goes_on(tmp_path, monkeypatch, cases):
    calls = []

    def fake(_model, _codec, part, _config, first=0):
        calls.append(first)
        if len(calls) == 2 and first:
            raise KeyboardInterrupt
        return torch.full((len(part), 48, 2, 1, 1), float(first)), torch.zeros(len(part), 4, 80)

    def decoded(_, video, audio):
        return [Made(float(seen.mean()), torch.zeros(9), mel.T) for seen, mel in zip(video, audio, strict=True)]

    monkeypatch.setattr(generating, "generate", fake)
    monkeypatch.setattr(generating, "BATCH", 4)
    monkeypatch.setattr(generating, "decode", decoded)
    store = Store(tmp_path, "key")
    with pytest.raises(KeyboardInterrupt):
        generate_all((None, None), {"joint": cases}, SampleConfig(2), store)
    made = generate_all((None, None), {"joint": cases}, SampleConfig(2), store)
    assert calls == [0, 4, 4, 8]
    assert [clip.frames for clip in made["joint"]] == [0, 0, 0, 0, 4, 4, 4, 4, 8]
    assert not list(tmp_path.rglob("*.partial"))


def test_other_weights_settings_and_seeds_have_other_stores(tmp_path):
    weights = tmp_path / "weights"
    weights.write_bytes(b"one")
    config = SampleConfig(12)
    key = Store.of(tmp_path, [weights], config, 0).key
    assert Store.of(tmp_path, [weights], config, 0).key == key
    assert Store.of(tmp_path, [weights], config, 1).key != key
    assert Store.of(tmp_path, [weights], replace(config, steps=13), 0).key != key
    weights.write_bytes(b"two")
    assert Store.of(tmp_path, [weights], config, 0).key != key


def test_a_model_is_judged_with_the_codec_beside_it_and_without_one_with_the_bundled_one(tmp_path):
    model = tmp_path / MODEL_FILE
    assert toons.codec_beside(model) == BUNDLED_VIDEO_CODEC
    (tmp_path / CODEC_FILE).touch()
    assert toons.codec_beside(model) == tmp_path / CODEC_FILE


def test_the_report_names_every_criterion_the_judges_and_the_papers_numbers(
    tmp_path, cases, truth, judges, monkeypatch
):
    all_right(judges, cases)
    monkeypatch.setattr(toons, "coded", lambda _, case: Made.of(case.frames, case.waveform))
    rows = toons.measure_all({"joint": truth}, {"joint": cases}, judges, None)
    options = toons.ToonOptions(tmp_path, count=9, others=1)
    chance = {"generated": {"spread, speech": 0.9, "spread, head": 0.6, "spread, eyes": 0.8}}
    chance["generated"] |= {name: 1.0 for name in COLUMNS if name not in chance["generated"]}
    wide = criteria_of_chance(chance, 8)
    content = toons._report(options, (rows, [*criteria_of(rows), *wide], {"words": 0.97}, chance), [], 1.0)
    text = (tmp_path / "toons.md").read_text()
    assert text.count("| pass |") == 7 + 1 + 2
    assert text.count("| FAIL |") == 1
    for part in (
        "ground truth, shuffled",
        "ground truth, coded",
        "joint, shuffled",
        "| words | 0.970 |",
        "Ovi, 10.9B",
        "## What chance decides",
        "blink",
    ):
        assert part in text, part
    assert json.loads((tmp_path / "toons.json").read_text())["criteria"] == content["criteria"]
    for name in ("bars", "lags"):
        assert (tmp_path / f"toons-{name}.png").stat().st_size > 10_000


def test_the_command_line_decides_guidance_and_the_report_says_so(tmp_path, monkeypatch):
    options = command.parse(
        ["--work", str(tmp_path), "--video-guidance", "1.5", "--modality-aware-share", "0.25", "--after-share", "none"]
    )
    monkeypatch.setattr(command, "evaluate_toons", lambda toon_options, *_: toon_options)
    given = command.evaluate_bundle(options)
    assert given.guidance == GuidanceConfig(1.5, 1.0, 0.25, AfterShare.NONE, None)
    monkeypatch.setattr(toons, "draw_bars", lambda *_: None)
    monkeypatch.setattr(toons, "draw_lags", lambda *_: None)
    settings = toons._report(given, ({}, [], {}, {}), [], 1.0)["settings"]
    assert (settings["modality_aware_share"], settings["after_share"]) == (0.25, "none")


@pytest.mark.parametrize("bad", [{"count": 0}, {"seed": -1}, {"steps": 0}])
def test_impossible_options_are_refused(tmp_path, bad):
    with pytest.raises(ValueError, match="at least"):
        toons.ToonOptions(tmp_path, **bad)
