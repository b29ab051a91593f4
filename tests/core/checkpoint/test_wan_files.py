"""The video branch from a Wan2.2-TI2V-5B file: the right weights in the right places, or a refusal that says why."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from tests.shards import shard_name, write_shards
from tests.toys import TINY, Clip, random_model
from uniavgen_core.checkpoint.checked_files import CheckpointError
from uniavgen_core.checkpoint.config_from_weights import Contents, Network
from uniavgen_core.checkpoint.load_weights import expected_shapes
from uniavgen_core.checkpoint.wan_files import VIDEO_TO_WAN, load_wan_branch, wan_names
from uniavgen_core.config import RELEASED, Interaction
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import JointModel

AUDIO = "audio_", "text_embedding.", "text_proj.", "time_embedding_audio.", "time_projection_audio.", "head_audio."
INTERACTION = "a2v_blocks.", "v2a_blocks."


@pytest.fixture
def wan():
    """A video branch in Wan's names."""
    return wan_names(random_model(dtype=torch.float32).state_dict())


@pytest.fixture
def model():
    model = JointModel(TINY)
    torch.manual_seed(0)
    initialize(model)
    return model


def saved(tensors, path):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def test_the_names_are_those_of_the_published_file_and_all_that_is_neither_audio_nor_interaction():
    released = expected_shapes(Network(Contents.JOINT, RELEASED))
    names = wan_names(released)
    kept = [name for name in released if not name.startswith(AUDIO + INTERACTION)]
    assert list(wan_names({name: name for name in released}).values()) == kept
    assert len(names) == 825  # tensors of wan2.2_ti2v_5B_fp16.safetensors
    assert sum(torch.Size(shape).numel() for shape in names.values()) == 4_999_787_712  # its parameters
    assert names["patch_embedding.weight"] == (3072, 48, 1, 2, 2)
    assert names["text_embedding.0.weight"] == (3072, 4096)
    assert names["time_projection.1.weight"] == (18432, 3072)
    assert names["head.modulation"] == (1, 2, 3072)
    assert names["blocks.29.ffn.2.weight"] == (3072, 14336)


def test_the_speech_text_encoder_is_not_wans_text_embedding(wan):
    assert "text_embedding.text_embed.weight" not in wan


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "diffusion_model."])
def test_every_weight_of_the_video_branch_comes_from_the_file_and_no_other_weight_changes(model, wan, tmp_path, prefix):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    path = saved({prefix + name: value for name, value in wan.items()}, tmp_path / "wan.safetensors")
    load_wan_branch(model, path)
    for name, value in model.state_dict().items():
        first, _, rest = name.partition(".")
        expected = wan[f"{VIDEO_TO_WAN[first]}.{rest}"] if first in VIDEO_TO_WAN else before[name]
        assert torch.equal(value, expected), name


@pytest.mark.parametrize("index", [True, False])
def test_a_folder_of_shards_is_one_file(model, wan, tmp_path, index):
    folder = write_shards(tmp_path / "Wan2.2-TI2V-5B", wan, {}, index)
    load_wan_branch(model, folder)
    assert torch.equal(model.head.head.weight, wan["head.head.weight"])
    (folder / shard_name(2)).unlink()
    with pytest.raises(CheckpointError, match=f"1 of 3 shards are missing.*{shard_name(2)}"):
        load_wan_branch(model, folder)


def test_weights_in_half_precision_are_read_into_the_models_own_dtype(model, wan, tmp_path):
    path = saved({name: value.half() for name, value in wan.items()}, tmp_path / "wan.safetensors")
    load_wan_branch(model, path)
    assert model.head.head.weight.dtype == torch.float32
    assert torch.equal(model.head.head.weight, wan["head.head.weight"].half().float())


FAULTS = {
    "lost": (lambda w: w.pop("head.modulation"), "1 missing: head.modulation"),
    "more": (lambda w: w.update({"blocks.0.extra.weight": torch.ones(2)}), "1 unexpected: blocks.0.extra.weight"),
    "misshapen": (lambda w: w.update({"head.head.bias": torch.ones(7)}), r"head.head.bias is \(7,\), not \(12,\)"),
    "scaled": (lambda w: w.update({"blocks.0.ffn.0.scale_weight": torch.ones(1)}), "quantized.*bf16 or fp16"),
    "diffusers": (lambda w: w.update({"condition_embedder.x.weight": torch.ones(1)}), "names of diffusers"),
    "whole": (lambda w: w.update({"audio_blocks.0.x": torch.ones(1)}), "whole UniAVGen checkpoint"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_does_not_fit_is_refused_by_name_and_changes_nothing(model, wan, tmp_path, fault):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    change, message = FAULTS[fault]
    change(wan)
    with pytest.raises(CheckpointError, match=f"odd.safetensors.*{message}"):
        load_wan_branch(model, saved(wan, tmp_path / "odd.safetensors"))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_at_the_first_step_the_joint_network_is_its_two_branches(model, wan, tmp_path):
    load_wan_branch(model, saved(wan, tmp_path / "wan.safetensors"))
    torch.nn.init.normal_(model.head_audio.head.weight)
    both, off = (
        Clip(dtype=torch.float32, voice=3, interaction=interaction).run(model)
        for interaction in (Interaction.BOTH, Interaction.OFF)
    )
    assert both.video.std() > 0.1
    assert both.audio.std() > 0.1
    assert torch.equal(both.video, off.video)
    assert torch.equal(both.audio, off.audio)
    torch.nn.init.normal_(model.a2v_blocks[0].o.weight)
    assert not torch.equal(Clip(dtype=torch.float32, voice=3).run(model).video, off.video)


def test_the_video_branch_does_not_hear_a_sound_while_o_is_zero(model, wan, tmp_path):
    load_wan_branch(model, saved(wan, tmp_path / "wan.safetensors"))
    clip = Clip(dtype=torch.float32)
    want = clip.run(model).video
    louder = replace(clip.conditions, speech_ids=clip.conditions.speech_ids.flip(1))
    inputs = {**clip.inputs, "audio": 3 * clip.audio}
    assert torch.equal(model(conditions=louder, **inputs).video, want)
