"""One branch alone: it predicts what it does in the joint network with the interaction off, from a file of its own."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.shards import write_shards
from tests.toys import TINY, Clip, random_model
from uniavgen_core.checkpoint.__main__ import main
from uniavgen_core.checkpoint.checked_files import CheckpointError
from uniavgen_core.checkpoint.config_from_weights import (
    Contents,
    Network,
    NotUniAVGenError,
    contents_of,
    metadata_of,
    network_of,
)
from uniavgen_core.checkpoint.describe import inspect, verify
from uniavgen_core.checkpoint.load_weights import expected_shapes, load_any, load_model
from uniavgen_core.checkpoint.merge_and_cut import branch_names, cut, merge
from uniavgen_core.checkpoint.quantize_weights import quantize
from uniavgen_core.checkpoint.wan_files import wan_names
from uniavgen_core.config import RELEASED, Interaction, to_dict
from uniavgen_core.model.audio_branch import AudioModel
from uniavgen_core.model.video_branch import VideoModel

BRANCHES = (Contents.VIDEO, Contents.AUDIO)
SKIPPED = (None, 0, 1)


@pytest.fixture(scope="module")
def joint():
    return random_model()


@pytest.fixture
def folder(joint, tmp_path):
    """The joint network as a folder of shards."""
    return write_shards(tmp_path / "UniAVGen", joint.state_dict(), metadata_of(TINY))


@pytest.fixture
def branch_file(folder, tmp_path):
    def make(branch):
        path = tmp_path / f"{branch.value}.safetensors"
        cut(folder, path, branch)
        return path

    return make


@pytest.mark.parametrize("skipped", SKIPPED)
@pytest.mark.parametrize("image", [True, False])
def test_the_video_branch_alone_predicts_the_joint_networks_picture_without_interaction(
    joint, branch_file, image, skipped
):
    alone = load_any(branch_file(Contents.VIDEO))
    clip = Clip(batch=2, image=image, interaction=Interaction.OFF, skip_layer=skipped)
    silent = replace(clip.conditions, speech_ids=None)
    assert isinstance(alone, VideoModel)
    torch.testing.assert_close(alone(clip.video, clip.times[0], silent), clip.run(joint).video, rtol=1e-12, atol=1e-12)
    heard = Clip(batch=2, image=image, skip_layer=skipped).run(joint).video
    assert (clip.run(joint).video - heard).abs().max() > 1e-6, "the interaction has no effect here to be left out"


@pytest.mark.parametrize("skipped", SKIPPED)
@pytest.mark.parametrize("voice", [4, 0])
def test_the_audio_branch_alone_predicts_the_joint_networks_sound_without_interaction(
    joint, branch_file, voice, skipped
):
    alone = load_any(branch_file(Contents.AUDIO))
    clip = Clip(batch=2, voice=voice, interaction=Interaction.OFF, skip_layer=skipped)
    blind = replace(clip.conditions, caption=None)
    assert isinstance(alone, AudioModel)
    torch.testing.assert_close(alone(clip.audio, clip.times[1], blind), clip.run(joint).audio, rtol=1e-12, atol=1e-12)


def test_the_video_branch_alone_reads_a_longer_caption_whole_and_fills_a_shorter_one(branch_file):
    alone = load_any(branch_file(Contents.VIDEO))
    clip = Clip(image=False)
    caption = torch.cat([clip.conditions.caption] * 3, dim=1)
    seen = [alone(clip.video, clip.times[0], replace(clip.conditions, caption=caption[:, :n])) for n in (3, 5, 8, 9)]
    filled = torch.cat((caption[:, :3], torch.zeros_like(caption[:, :2])), dim=1)
    assert torch.equal(seen[0], alone(clip.video, clip.times[0], replace(clip.conditions, caption=filled)))
    assert (seen[3] - seen[2]).abs().max() > 1e-9


def test_at_the_released_size_the_branches_are_wans_network_and_the_audio_group_of_the_checkpoint():
    released = expected_shapes(Network(Contents.JOINT, RELEASED))
    video, audio = (expected_shapes(Network(branch, RELEASED)) for branch in BRANCHES)
    assert video == wan_names(released)
    assert audio == branch_names(released, Contents.AUDIO)
    assert sum(torch.Size(shape).numel() for shape in audio.values()) == pytest.approx(1.4191e9, rel=1e-4)
    interactions = [name for name in released if name.startswith(("a2v_blocks.", "v2a_blocks."))]
    assert len(video) + len(audio) + len(interactions) == len(released)


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_cut_branch_has_the_joint_files_numbers_and_says_its_sizes(joint, branch_file, branch):
    path = branch_file(branch)
    want = branch_names(joint.state_dict(), branch)
    got = load_file(path)
    assert got.keys() == want.keys()
    assert all(torch.equal(got[name], want[name]) for name in want)
    report = inspect(path)
    assert report["contents"] == branch.value
    assert report["geometry"] == to_dict(replace(TINY, num_interactions=0))
    assert load_any(path).config == replace(TINY, num_interactions=0)
    assert verify(path)["problems"] == []


def test_sizes_that_no_metadata_says_are_read_from_the_shapes_and_the_rest_is_as_released():
    config = replace(
        RELEASED,
        video=replace(RELEASED.video, dim=256, ffn_dim=320, num_heads=2),
        audio=replace(RELEASED.audio, dim=128, ffn_dim=96, num_heads=1),
        num_layers=2,
        latent_channels=7,
        mel_bins=9,
        time_dim=32,
        text=replace(RELEASED.text, vocabulary=11, speech_dim=6, speech_ffn_dim=10, speech_blocks=3, caption_dim=5),
    )
    for branch, own in ((Contents.VIDEO, ("video", "latent_channels")), (Contents.AUDIO, ("audio", "mel_bins"))):
        found = network_of(expected_shapes(Network(branch, config)))
        assert found.contents is branch
        for name in (*own, "num_layers", "time_dim"):
            assert getattr(found.config, name) == getattr(config, name), name
    assert found.config.text == replace(config.text, caption_dim=RELEASED.text.caption_dim)
    assert found.config.video == RELEASED.video


def test_a_joint_file_that_lacks_a_tensor_is_not_taken_for_a_branch():
    names = set(expected_shapes(Network(Contents.JOINT, TINY)))
    assert contents_of(names) is Contents.JOINT
    for telling in ("a2v_blocks.0.q.weight", "patch_embedding.weight", "audio_embedding.0.weight"):
        assert contents_of(names - {telling}) is None
    for branch in BRANCHES:
        assert contents_of(set(expected_shapes(Network(branch, TINY)))) is branch


def test_diffusers_names_are_told_as_such():
    shapes = {"condition_embedder.text_embedder.linear_1.weight": (4, 4), "patch_embedding.weight": (4, 48, 1, 2, 2)}
    with pytest.raises(NotUniAVGenError, match=r"Wan2\.2-TI2V-5B as its video branch alone.*names of diffusers"):
        network_of(shapes)


@pytest.mark.parametrize("branch", BRANCHES)
def test_where_the_joint_network_is_needed_a_branch_is_refused(branch_file, tmp_path, branch):
    path = branch_file(branch)
    with pytest.raises(NotUniAVGenError, match="Choose the UniAVGen joint model"):
        load_model(path)
    with pytest.raises(NotUniAVGenError, match="Choose the UniAVGen joint model"):
        cut(path, tmp_path / "again.safetensors", branch)


def test_a_branch_that_lacks_or_adds_a_tensor_is_refused_by_name(branch_file):
    path = branch_file(Contents.VIDEO)
    tensors = load_file(path)
    tensors["img_emb.proj.0.weight"] = tensors.pop("head.modulation")
    save_file(tensors, path)
    (problem,) = verify(path)["problems"]
    assert "1 missing: head.modulation; 1 unexpected: img_emb.proj.0.weight" in problem
    assert "Wan's models for images to video" in problem


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_branch_is_merged_quantised_and_measured_like_the_whole(branch_file, tmp_path, branch, capsys):
    path, small = branch_file(branch), tmp_path / "small.safetensors"
    merge(path, tmp_path / "merged.safetensors")
    assert load_file(tmp_path / "merged.safetensors").keys() == load_file(path).keys()
    assert main(["quantize", str(path), str(small), "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["velocity_error"].keys() == {branch.value}
    assert 0 < report["velocity_error"][branch.value] < 0.3
    prefix = "blocks." if branch is Contents.VIDEO else ("audio_blocks.", "text_embedding.")
    assert all(layer.startswith(prefix) for layer in report["layers"])
    assert verify(small)["problems"] == []


def test_a_quantised_file_is_cut_with_its_scales(folder, tmp_path):
    layers = quantize(folder, tmp_path / "fp8.safetensors")["layers"]
    for branch in BRANCHES:
        path = tmp_path / f"{branch.value}8.safetensors"
        cut(tmp_path / "fp8.safetensors", path, branch)
        assert verify(path)["problems"] == []
        assert inspect(path)["quantised_layers"] == len(branch_names(dict.fromkeys(layers), branch))


def test_cutting_from_the_command_line_names_what_was_written_and_keeps_a_file_that_is_there(folder, tmp_path, capsys):
    target = tmp_path / "audio.safetensors"
    arguments = ["cut", str(folder), str(target), "--branch", "audio", "--json"]
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (report["branch"], report["bytes"]) == ("audio", target.stat().st_size)
    assert load_file(target).keys() == expected_shapes(Network(Contents.AUDIO, TINY)).keys()
    assert main(arguments) == 2
    assert "is there already" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match="one of the files to read"):
        cut(target, target, Contents.AUDIO, replace=True)
