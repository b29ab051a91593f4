"""Weights in files: loaded exactly, or refused with what is wrong."""

import json

import pytest
import torch
from safetensors.torch import save_file

from tests.toys import TINY, Clip, random_model, with_variant
from uniavgen_core.checkpoint.config_from_weights import METADATA_KEY, NotUniAVGenError, config_from_shapes, metadata_of
from uniavgen_core.checkpoint.load_weights import CheckpointError, load_model, save_weights
from uniavgen_core.checkpoint.shard_sets import PREFIXES
from uniavgen_core.config import TOON, Alignment
from uniavgen_core.model.joint import JointModel


@pytest.fixture(scope="module")
def model():
    return random_model(dtype=torch.float32)


@pytest.fixture
def write(tmp_path, model):
    """Write the model's tensors after a change, with its metadata."""

    def write_changed(change=lambda tensors: tensors, metadata=None):
        tensors = change({name: tensor.contiguous() for name, tensor in model.state_dict().items()})
        save_file(tensors, tmp_path / "model.safetensors", metadata or metadata_of(TINY))
        return tmp_path / "model.safetensors"

    return write_changed


def without(name):
    return lambda tensors: {key: tensor for key, tensor in tensors.items() if key != name}


def test_a_saved_model_comes_back_bit_for_bit_with_its_configuration(model, tmp_path):
    save_weights(model.state_dict(), model.config, tmp_path / "m.safetensors", torch.float32)
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.config == TINY
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_weights_take_the_dtype_asked_for_and_else_the_files(model, tmp_path):
    save_weights(model.state_dict(), model.config, tmp_path / "m.safetensors", torch.float16)
    dtypes = [
        {t.dtype for t in load_model(tmp_path / "m.safetensors", dtype=d).parameters()} for d in (None, torch.bfloat16)
    ]
    assert dtypes == [{torch.float16}, {torch.bfloat16}]


@pytest.mark.parametrize("config", [TINY, TOON, with_variant(v2a_alignment=Alignment.GLOBAL, half_window_frames=12)])
def test_shapes_and_metadata_give_the_configuration_back(config):
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in JointModel(config).state_dict().items()}
    assert config_from_shapes(shapes, metadata_of(config)) == config


def test_a_part_of_the_configuration_in_the_metadata_is_enough():
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in JointModel(TINY).state_dict().items()}
    said = {"video": {"num_heads": 2}, "audio": {"num_heads": 2}, "text": {"caption_length": 5}}
    assert config_from_shapes(shapes, {METADATA_KEY: json.dumps(said)}) == TINY


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_before_every_name_is_dropped(write, model, prefix):
    path = write(lambda tensors: {prefix + name: tensor for name, tensor in tensors.items()})
    assert torch.equal(load_model(path).head.head.weight, model.head.head.weight)


def test_missing_tensors_are_named(write):
    with pytest.raises(CheckpointError, match=r"1 missing: blocks\.1\.self_attn\.q\.bias\."):
        load_model(write(without("blocks.1.self_attn.q.bias")))


@pytest.mark.parametrize("name", ["blocks.0.extra", "blocks.extra", "extra"])
def test_unexpected_tensors_are_named_in_the_log_and_left_out_as_the_release_does(write, model, name, caplog):
    loaded = load_model(write(lambda tensors: tensors | {name: torch.zeros(2)}))
    assert all(torch.equal(loaded.state_dict()[key], tensor) for key, tensor in model.state_dict().items())
    assert f"ignored: {name}." in caplog.text


def test_what_only_pads_batches_may_be_missing_and_is_named_in_the_log(write, model, caplog):
    loaded = load_model(write(without("audio_padding")))
    assert torch.equal(loaded.audio_padding, torch.zeros_like(model.audio_padding))
    assert "has no audio_padding" in caplog.text
    clip = Clip(dtype=torch.float32)
    assert torch.equal(clip.run(loaded).audio, clip.run(model).audio)


def test_misshapen_tensors_are_named_with_both_shapes(write):
    with pytest.raises(CheckpointError, match=r"1 misshapen: head\.modulation is \(1, 2, 23\), not \(1, 2, 24\)\."):
        load_model(write(lambda tensors: tensors | {"head.modulation": torch.zeros(1, 2, 23)}))


def test_many_faults_are_counted_and_a_few_named(write):
    def drop_all_layers(tensors):
        return {name: tensor for name, tensor in tensors.items() if not name.startswith("blocks.1.")}

    with pytest.raises(CheckpointError, match=r"\d\d missing: blocks\.1\..* and \d+ more\."):
        load_model(write(drop_all_layers))


@pytest.mark.parametrize("part", [0.0, 0.0005, 0.5, 0.999])
def test_a_file_cut_short_is_refused_with_its_size(write, part):
    path = write()
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(CheckpointError, match=rf"model\.safetensors .* {path.stat().st_size} bytes"):
        load_model(path)


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "page.safetensors"
    path.write_text("<html>404: not found</html>" * 10)
    with pytest.raises(CheckpointError, match=r"page\.safetensors"):
        load_model(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"There is no file .*nowhere\.safetensors"):
        load_model(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("tensors", [{}, {"decoder.conv.weight": torch.zeros(3)}])
def test_another_models_file_is_refused_as_such(write, tensors):
    with pytest.raises(NotUniAVGenError, match="not a UniAVGen checkpoint"):
        load_model(write(lambda _: tensors, {}))


def test_the_video_model_alone_is_refused_by_what_it_lacks(write):
    def only_video(tensors):
        kept = ("blocks.", "patch_embedding", "head.", "time_embedding.", "time_projection.")
        return {name: tensor for name, tensor in tensors.items() if name.startswith(kept)}

    with pytest.raises(NotUniAVGenError, match=r"no tensor named audio_embedding.*Wan2\.2"):
        load_model(write(only_video, {}))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ('{"depth": 3}', "ModelConfig has no field named depth"),
        ('{"variant": {"quirk": true}}', "Variant has no field named quirk"),
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"variant": {"alignment": "sideways"}}', "sideways"),
    ],
)
def test_metadata_that_says_something_unknown_is_refused(write, said, message):
    with pytest.raises(ValueError, match=message):
        load_model(write(metadata={METADATA_KEY: said}))


def test_a_loaded_model_predicts_what_the_saved_one_does(model, tmp_path):
    save_weights(model.state_dict(), model.config, tmp_path / "m.safetensors", torch.float32)
    clip = Clip(dtype=torch.float32)
    assert torch.equal(clip.run(load_model(tmp_path / "m.safetensors")).audio, clip.run(model).audio)
