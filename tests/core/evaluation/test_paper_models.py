"""The paper's judges are loaded from a folder alone; tiny ones with random weights show the wiring."""

import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.whisper_folders import write_whisper
from uniavgen_core.checkpoint.whisper_files import WhisperError, check_whisper, is_whisper
from uniavgen_core.evaluation.paper_models import Dino, Whisper, offline, spoken_words, vbench_parts
from uniavgen_core.evaluation.recognised_words import words_right
from uniavgen_core.evaluation.word_errors import word_error_rate


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return write_whisper(tmp_path_factory.mktemp("whisper"))


def test_a_whisper_on_disk_hears_something_and_the_same_each_time(whisper):
    judge = Whisper(whisper)
    sound = torch.sin(torch.arange(24_000) / 10)
    heard = judge.hear(sound, 24_000)
    assert heard == judge.hear(sound, 24_000)
    assert "<|" not in heard
    assert set(heard) <= set("abcdefghijklmnopqrstuvwxyz ")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("Hello, World!", "hello world"),
        ("it's  twenty-one", "it's twenty one"),
        ("It\u2019s", "it's"),
        ("你好 world", "你 好 world"),
        ("...", ""),
    ],
)
def test_words_are_compared_without_case_and_punctuation(written, words):
    assert spoken_words(written) == words


@pytest.mark.parametrize(
    ("transcript", "heard", "expected"),
    [
        ("red bird yes", "Red bird, yes.", 1),
        ("red bird yes", "red word yes", 2 / 3),
        ("red bird yes no", "red", 1 / 4),
        ("red bird", "red red bird", 1 / 2),
        ("red", "one two three", 0),
        ("twenty one stars", "21 stars", 1),
        ("red bird", "", 0),
    ],
)
def test_the_share_of_words_right_is_one_less_the_error_rate_of_normalised_texts(transcript, heard, expected):
    assert words_right(transcript, heard) == pytest.approx(expected)


def test_sounds_of_more_than_half_a_minute_are_heard_in_pieces(whisper, monkeypatch):
    judge, pieces = Whisper(whisper), []
    monkeypatch.setattr(judge, "hear", lambda piece, rate: f" {pieces.append((len(piece), rate)) or len(pieces)}")
    assert judge.hear_all(torch.zeros(70 * 8_000), 8_000) == "1 2 3"
    assert pieces == [(240_000, 8_000), (240_000, 8_000), (80_000, 8_000)]


def changed(folder, target, file, change):
    """A copy of a Whisper folder in which one file is changed, or removed by None."""
    shutil.copytree(folder, target)
    content = change((target / file).read_bytes()) if change else None
    (target / file).unlink()
    if content is not None:
        (target / file).write_bytes(content)
    return target


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", None, "There is no file .*config.json"),
        ("config.json", lambda data: data[:40], "config.json is not JSON"),
        ("config.json", lambda _: b"[]", "is not a JSON object"),
        ("config.json", lambda data: data.replace(b'"whisper"', b'"bert"'), "type 'bert', not 'whisper'"),
        ("tokenizer.json", None, "no tokenizer"),
        ("tokenizer.json", lambda data: data[:-9], "tokenizer.json is not JSON"),
        ("processor_config.json", None, "no feature extractor"),
        ("model.safetensors", None, "no model.safetensors"),
        ("model.safetensors", lambda data: data[:-100], "model.safetensors cannot be read"),
    ],
)
def test_a_damaged_whisper_folder_is_refused_before_it_is_loaded(whisper, tmp_path, file, change, message):
    check_whisper(whisper)
    assert is_whisper(whisper)
    folder = changed(whisper, tmp_path / "whisper", file, change)
    with pytest.raises(WhisperError, match=message):
        check_whisper(folder)


def test_a_whisper_that_lacks_a_tensor_is_not_filled_with_noise(whisper, tmp_path):
    folder = shutil.copytree(whisper, tmp_path / "whisper")
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("model.decoder.layer_norm.weight")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lack 1 tensors, such as model\.decoder\.layer_norm\.weight"):
        Whisper(folder)


def test_each_chinese_sign_counts_as_a_word():
    assert word_error_rate([spoken_words("你好吗")], [spoken_words("你们吗")]) == pytest.approx(1 / 3)


def test_nothing_can_be_fetched_meanwhile_and_the_environment_is_left_as_it_was(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    with offline():
        assert os.environ["HF_HUB_OFFLINE"] == os.environ["TRANSFORMERS_OFFLINE"] == "1"
    assert os.environ["HF_HUB_OFFLINE"] == "0"
    assert "TRANSFORMERS_OFFLINE" not in os.environ


@pytest.fixture(scope="module")
def vbench(tmp_path_factory):
    from transformers import ViTConfig, ViTModel

    folder = tmp_path_factory.mktemp("vbench")
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=224, patch_size=16
    )
    ViTModel(config).save_pretrained(folder / "dino-vitb16")
    return folder


def test_dino_describes_equal_pictures_equally_and_others_otherwise(vbench, frames):
    judge = vbench_parts(vbench)["dino"]
    assert isinstance(judge, Dino)
    vectors = judge.features(np.concatenate([frames[:1], frames[:1], 255 - frames[:1]]))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert vectors[0] @ vectors[1] == pytest.approx(1, abs=1e-5)
    assert vectors[0] @ vectors[2] < 0.9999


def test_raft_of_another_form_is_refused_by_name(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "raft_large.pth")
    with pytest.raises(ValueError, match="does not fit torchvision's raft_large"):
        vbench_parts(tmp_path)


def test_raft_measures_flow_in_pixels_of_the_picture_whatever_size_it_sees(tmp_path, monkeypatch):
    from torchvision.models.optical_flow import raft_large

    torch.save(raft_large(weights=None, progress=False).state_dict(), tmp_path / "raft_large.pth")
    raft = vbench_parts(tmp_path)["raft"]

    def an_eighth_of_the_picture(before, after):
        assert torch.equal(before[:, :1] + 1, -after[:, :1] + 1)
        height, width = before.shape[-2:]
        return [torch.tensor([width, height]).view(1, 2, 1, 1).expand(1, 2, height, width) / 8]

    monkeypatch.setattr(raft, "model", an_eighth_of_the_picture)
    grey = np.full((64, 200, 3), 51, np.uint8)
    flow = raft(grey, 255 - grey)
    assert flow.shape == (64, 200, 2)
    np.testing.assert_allclose(flow[..., 0], 25)
    np.testing.assert_allclose(flow[..., 1], 8)


def test_a_folder_without_any_part_of_vbench_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no folder dino"):
        vbench_parts(tmp_path)
