"""Encoding clips once: from files, shards and seeds, by several processes, killed and taken up again."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.core.training.toon_files import write_shard, write_toons
from toon.clips.clip import make_clip
from toon.training.clip_shards import mel_of
from uniavgen_core.config import TOON, BranchConfig, Interaction, TextConfig
from uniavgen_core.media.video.latent_masks import latent_shares
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import JointModel
from uniavgen_core.tasks import AUDIO_DRIVEN, CONTINUATION, DUBBING, JOINT, REFERENCE_VOICE
from uniavgen_core.training.batch_part import Part
from uniavgen_core.training.cli.encode_command import main
from uniavgen_core.training.data import encode_clips as encode
from uniavgen_core.training.data.clip_form import ClipForm, Faces
from uniavgen_core.training.data.clip_record import Skipped
from uniavgen_core.training.data.clip_sources import open_source
from uniavgen_core.training.data.clip_store import read_clip, read_index
from uniavgen_core.training.data.encode_clips import EncodeConfig, encode_source
from uniavgen_core.training.data.encoded_clips import load_source
from uniavgen_core.training.data.face_shares import face_boxes
from uniavgen_core.training.flow_matching import LossWeights, flow_matching_losses, with_noise
from uniavgen_core.training.interrupts import Interrupt
from uniavgen_core.training.task_sampling import TaskSample

ROOT = Path(__file__).parents[3]
FORM = ClipForm((128, 128))
BAD_LINES = ['{"path": "toon_0.mp4", "caption": "x", "transcript": "y"}', "{"]
TINY = replace(
    TOON,
    video=BranchConfig(24, 32, 2),
    audio=BranchConfig(16, 24, 2),
    text=TextConfig(speech_dim=8, speech_ffn_dim=16, speech_blocks=1, caption_dim=64, caption_length=32),
    num_layers=2,
    num_interactions=1,
)


@pytest.fixture(scope="module")
def toons(tmp_path_factory):
    """Six toons as files with a manifest that has two bad lines, and the same in two shards."""
    folder = tmp_path_factory.mktemp("toons")
    lines = write_toons(folder, 6)
    with (folder / "manifest.jsonl").open("a", encoding="utf-8") as manifest:
        manifest.write("\n".join(BAD_LINES) + "\n")
    write_shard(folder / "s-0.tar", folder, lines[:2])
    write_shard(folder / "s-1.tar", folder, lines[2:])
    return folder


@pytest.fixture(scope="module")
def encoded(toons, tmp_path_factory):
    """The three sources encoded by one process: folder and report by name."""
    out = tmp_path_factory.mktemp("encoded")
    sources = {"files": str(toons), "shards": str(toons / "s-{0..1}.tar"), "toons": "toon:6"}
    return {
        name: (out / name, encode_source(open_source(text), EncodeConfig(out / name, FORM, faces=Faces.NONE)))
        for name, text in sources.items()
    }


def by_transcript(folder):
    return {clip.record.transcript: read_clip(folder, clip.name) for clip in read_index(folder)}


def command(toons, out, *more):
    return [str(toons), "--out", str(out), "--size", "128x128", "--faces", "none", *more]


def test_files_shards_and_seeds_give_the_same_clips(encoded):
    files, shards, toons = (by_transcript(encoded[name][0]) for name in ("files", "shards", "toons"))
    assert len(files) == 6
    for transcript, drawn in toons.items():
        from_file, from_shard = files[transcript], shards[transcript]
        assert all(torch.equal(from_file[name], from_shard[name]) for name in ("video", "mel", "caption"))
        error = (from_file["video"].float() - drawn["video"].float()).square().mean()
        assert error < 1e-3 * drawn["video"].float().var()
        pair = np.stack([from_file["mel"].numpy().ravel(), drawn["mel"].numpy().ravel()]).astype(float)
        assert np.corrcoef(pair)[0, 1] > 0.995
        assert torch.equal(from_file["caption"], drawn["caption"])


def test_toons_bring_their_own_sound_and_masks(encoded):
    clips = by_transcript(encoded["toons"][0])
    clip = make_clip(3)
    found = clips[clip.transcript]
    np.testing.assert_array_equal(found["mel"], mel_of(clip.waveform))
    np.testing.assert_array_equal(found["face"], latent_shares(clip.face_mask))
    np.testing.assert_array_equal(found["mouth"], latent_shares(clip.mouth_mask))
    assert "face" not in by_transcript(encoded["files"][0])[clip.transcript]


def test_bad_lines_are_counted_by_reason_and_listed(encoded):
    folder, report = encoded["files"]
    summary = report.summary()
    assert summary["skipped"] == {"bad line": 2}
    assert summary["hours"] == pytest.approx(6 * 33 / 16 / 3600, abs=1e-4)
    told = [json.loads(line) for line in (folder / "skipped.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [entry["where"] for entry in told] == ["manifest.jsonl, line 7", "manifest.jsonl, line 8"]
    assert "speaker is missing" in told[0]["message"]


def test_two_processes_killed_in_their_work_go_on_and_end_as_one_does(toons, encoded, tmp_path):
    out = tmp_path / "out"
    program = "import sys; from uniavgen_core.training.cli.encode_command import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *command(toons, out, "--workers", "2")],
        cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None and not list(out.glob("clips/*.safetensors")):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("clips/*.safetensors")}
    assert 1 <= len(before) < 6
    assert not list(out.glob("index*"))
    (out / "clips" / "left.safetensors.partial").write_bytes(b"half")
    assert main(command(toons, out, "--workers", "2")) == 0
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("clips/*.safetensors")}
    assert {name: after[name] for name in before} == before
    whole, _ = encoded["files"]
    assert [clip.name for clip in read_index(out)] == [clip.name for clip in read_index(whole)]
    for clip in read_index(out):
        expected, found = read_clip(whole, clip.name), read_clip(out, clip.name)
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_an_interrupted_run_leaves_an_index_of_what_is_whole(toons, tmp_path, monkeypatch, capsys):
    out, outcome = tmp_path / "out", encode.encode_offer
    seen, ends = [], [3]

    def interrupted(offer, config):
        seen.append(offer)
        if len(seen) == ends[0]:
            os.kill(os.getpid(), signal.SIGINT)
        return outcome(offer, config)

    monkeypatch.setattr(encode, "encode_offer", interrupted)
    assert main(command(toons, out, "--json")) == 130
    summary = json.loads(capsys.readouterr().out)
    assert (summary["encoded"], summary["finished"]) == (3, False)
    assert len(read_index(out)) == 3
    seen.clear()
    ends[0] = 1
    assert main(command(toons, out, "--json")) == 130
    assert len(read_index(out)) == 3
    monkeypatch.undo()
    assert main(command(toons, out, "--json")) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (summary["encoded"], summary["kept"]) == (3, 3)


def test_parts_share_the_clips_and_a_whole_run_replaces_their_lists(toons, tmp_path):
    out = tmp_path / "out"
    for part in ("1/2", "2/2"):
        assert main(command(toons, out, "--part", part)) == 0
    halves = [path.read_text(encoding="utf-8").splitlines() for path in sorted(out.glob("index.*-of-2.jsonl"))]
    assert [len(half) for half in halves] == [3, 3]
    names = [clip.name for clip in read_index(out)]
    assert len(set(names)) == 6
    assert main(command(toons, out)) == 0
    assert sorted(path.name for path in out.glob("*.jsonl")) == ["index.jsonl", "skipped.jsonl"]
    assert [clip.name for clip in read_index(out)] == names


def test_a_line_that_changed_and_a_file_cut_short_are_encoded_again(toons, tmp_path):
    source, config = open_source(str(toons)), EncodeConfig(tmp_path / "out", FORM, faces=Faces.NONE)
    first, second, *_ = (job.record for job in source.jobs)
    source = replace(source, jobs=source.jobs[:3])
    encode_source(source, config)
    damaged = tmp_path / "out" / "clips" / f"{second.name}.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-10])
    changed = replace(source.jobs[0], record=replace(first, transcript="other words"))
    report = encode_source(replace(source, jobs=(changed, *source.jobs[1:])), config)
    assert sorted(clip.name for clip in report.encoded) == sorted([first.name, second.name])
    assert len(report.kept) == 1
    assert "other words" in [clip.record.transcript for clip in read_index(tmp_path / "out")]


def test_clips_encoded_otherwise_do_not_get_into_a_folder(encoded, toons):
    folder, _ = encoded["toons"]
    with pytest.raises(ValueError, match="size"):
        encode_source(open_source("toon:6"), EncodeConfig(folder, ClipForm((64, 64)), faces=Faces.NONE))
    with pytest.raises(ValueError, match="source toon"):
        encode_source(open_source(str(toons)), EncodeConfig(folder, FORM, faces=Faces.NONE))


def test_what_is_not_finite_is_left_out(tmp_path, monkeypatch):
    class Broken:
        name = "broken"

        def video(self, _frames):
            return torch.full((48, 9, 8, 8), 1e6)

        def caption(self, _text):
            return torch.ones(1, 64)

    monkeypatch.setattr(encode, "open_encoders", lambda *_: Broken())
    report = encode_source(open_source("toon:1"), EncodeConfig(tmp_path, FORM, faces=Faces.NONE))
    assert [entry.reason for entry in report.skipped] == ["not finite"]


def test_a_clip_without_a_face_is_left_out_where_one_is_required(tmp_path, monkeypatch):
    class Blind:
        def find(self, _frame):
            return []

    monkeypatch.setattr("uniavgen_core.training.data.face_shares.open_detector", Blind)
    clip = encode.DecodedClip(np.zeros((17, 32, 32, 3), np.uint8), torch.zeros(17 * 1500))
    record, encoders = next(open_source("toon:1").jobs[0].clips()).record, encode.open_encoders("bundled")
    found = encode.encode_clip(clip, record, encoders, EncodeConfig(tmp_path, FORM))
    assert found["face"].shape == (5, 2, 2)
    assert found["face"].max() == 0
    with pytest.raises(ValueError, match="No face was found"):
        encode.encode_clip(clip, record, encoders, EncodeConfig(tmp_path, FORM, faces=Faces.REQUIRE))


@pytest.fixture(scope="module")
def tiny_network():
    torch.manual_seed(0)
    model = JointModel(TINY)
    initialize(model)
    return model


def losses_of(model, source, sample):
    part = Part(step=0, first=0, count=2)
    clips = source.draw_clips(sample, part.shared(0), part.own(0))
    batch = with_noise(clips, torch.tensor([0.5, 0.9]), part.own(1))
    return flow_matching_losses(model, batch, LossWeights(1.0, 0.1))


@pytest.mark.parametrize("name", ["files", "shards", "toons"])
def test_a_step_of_the_tiny_network_on_encoded_clips_has_a_finite_loss(encoded, tiny_network, name):
    losses = losses_of(tiny_network, load_source(encoded[name][0], TINY.text), TaskSample(JOINT, Interaction.BOTH))
    losses["loss"].backward()
    assert torch.isfinite(losses["loss"])
    # Untrained, the network says 0 where noise minus clean is meant, each of about unit variance.
    assert 1 < losses["video"] < 4
    assert 1 < losses["audio"] < 4


@pytest.mark.parametrize(
    ("sample", "learned"),
    [
        (TaskSample(REFERENCE_VOICE, Interaction.AUDIO_TO_VIDEO, has_voice=True), {"video", "audio"}),
        (TaskSample(CONTINUATION, Interaction.BOTH), {"video", "audio"}),
        (TaskSample(DUBBING, Interaction.VIDEO_TO_AUDIO), {"audio"}),
        (TaskSample(AUDIO_DRIVEN, Interaction.AUDIO_TO_VIDEO), {"video"}),
    ],
)
def test_every_task_learns_what_it_does_not_keep(encoded, tiny_network, sample, learned):
    losses = losses_of(tiny_network, load_source(encoded["toons"][0], TINY.text), sample)
    assert {name for name in ("video", "audio") if losses[name] > 0} == learned
    assert torch.isfinite(losses["loss"])


@pytest.mark.parametrize("patch_size", [1, 2])
def test_the_audio_branch_learns_alone_whatever_the_patch_size(encoded, patch_size):
    model = JointModel(replace(TINY, patch_size=patch_size))
    initialize(model)
    sample = TaskSample(JOINT, Interaction.OFF, audio_alone=True)
    losses = losses_of(model, load_source(encoded["toons"][0], TINY.text), sample)
    losses["audio"].backward()
    assert losses["video"] == 0
    assert 1 < losses["audio"] < 4
    assert not any(block.self_attn.q.weight.grad is not None and block.self_attn.q.weight.grad.any()
                   for block in model.blocks)  # fmt: skip


def test_faces_of_a_clip_are_found_where_they_are():
    clip = make_clip(1)
    found = face_boxes(clip.frames[:5]) > 0
    head = clip.face_mask[:5] > 127
    assert (found & head).sum() > 0.5 * (found | head).sum()
    assert not face_boxes(np.zeros((3, 64, 64, 3), np.uint8)).any()


def test_nothing_that_can_be_used_is_an_error_and_bad_input_is_said(tmp_path, capsys):
    (tmp_path / "manifest.jsonl").write_text(BAD_LINES[0], encoding="utf-8")
    assert main(command(tmp_path, tmp_path / "out")) == 1
    assert "Skipped, bad line: 1" in capsys.readouterr().out
    assert main(command(tmp_path / "gone", tmp_path / "other")) == 2
    assert "gone is not there" in capsys.readouterr().err
    assert main(["toon:1", "--out", str(tmp_path / "third"), "--size", "64x32"]) == 2
    assert "square" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--size", "large"], "write 1280x736, or 736"),
        (["--faces", "some"], "none of find, require and none"),
        (["--part", "2"], "write 1/4 for the first of four"),
    ],
)
def test_a_wrong_option_is_answered_with_how_to_write_it(option, words, capsys):
    with pytest.raises(SystemExit):
        main(["toon:1", "--out", "nowhere", *option])
    assert words in capsys.readouterr().err


def test_when_asked_to_end_jobs_that_have_not_begun_are_dropped(tmp_path):
    interrupt = Interrupt()

    class Pool:
        def submit(self, _function, job, _config):
            future = Future()
            if job == "begun":
                future.set_running_or_notify_cancel()
                future.set_result([Skipped(job, "", "")])
            interrupt.asked = job == "last"
            return future

    jobs, config = ("begun", "later", "later", "last", "never"), EncodeConfig(tmp_path, FORM, workers=2)
    outcomes = encode.gather_outcomes(Pool(), jobs, config, interrupt)
    assert [outcome.where for outcome in outcomes] == ["begun"]


def test_a_process_asked_to_end_does_so_after_its_clip_and_not_after_its_shard(tmp_path):
    class Shard:
        def clips(self):
            for number in range(4):
                if number == 1:
                    os.kill(os.getpid(), signal.SIGINT)
                yield Skipped(str(number), "", "")

    outcomes = encode.encode_job(Shard(), EncodeConfig(tmp_path, FORM))
    assert [outcome.where for outcome in outcomes] == ["0", "1"]
