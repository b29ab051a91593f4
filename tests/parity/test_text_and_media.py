"""Text, mel, volume and picture size against the release's own numbers.

Nothing about the fixture's sizes is assumed: durations, shapes and strides are read from its names and texts.
"""

import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from uniavgen_core.media.audio import mel
from uniavgen_core.media.video.frames import fit_size, resize
from uniavgen_core.shapes import SAMPLE_RATE
from uniavgen_core.text.tokenize import NULL_SPEECH, join_reference, pad_speech_ids, speech_ids, tokenize, vocabulary

MEL_TOLERANCE = 1e-4
PIXEL_TOLERANCE = 1 / 127.5 + 1e-6


@pytest.fixture(scope="module")
def info(golden):
    return json.loads((golden / "components.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def numbers(golden):
    return load_file(golden / "components.safetensors")


@pytest.fixture(scope="module")
def chirps(info):
    """The fixture's waveform of a given length; the order of the operations is the recorded one, to the last bit."""

    def waveform(seconds):
        tau = np.arange(round(SAMPLE_RATE * seconds)) / SAMPLE_RATE
        sound = np.zeros_like(tau)
        for chirp in info["mel"]["chirps"]:
            sweep = (chirp["f1"] - chirp["f0"]) * tau * tau / (2 * seconds)
            sound += chirp["a"] * np.sin(2 * np.pi * (chirp["f0"] * tau + sweep) + chirp["phi"])
        gate = (tau < 0.5 * seconds) | (tau >= 0.6 * seconds)
        return torch.from_numpy((sound * gate).astype(np.float32))

    return waveform


def recorded_under(numbers, pattern):
    """Names of the recorded tensors that match, with the matched parts; there must be some."""
    found = [(name, match.groups()) for name in sorted(numbers) if (match := re.fullmatch(pattern, name))]
    assert found
    return found


def assert_same_mel(found, expected, scale=1.0):
    """Compare log-mels divided by ``scale``: to 1e-4, and half a unit of float32 rounding of the frame's loudest band.

    Rounding shows in bands 80 dB below the loudest. There the recorded values are those of one FFT library (with it all
    agree to 1e-6); another one moves them by up to 0.0035, a sixth of a unit.
    """
    assert found.shape == expected.shape
    rounding = torch.finfo(torch.float32).eps * ((expected.amax(0) - expected) * scale).exp() / scale
    excess = (found - expected).abs() - MEL_TOLERANCE - 0.5 * rounding
    assert excess.max() <= 0, f"{int((excess > 0).sum())} of {excess.numel()} values differ, by {excess.max()} too much"


def test_the_vocabulary_is_the_published_one(info):
    recorded = info["vocab"]
    assert len(vocabulary()) == recorded["entries"]
    assert {token: vocabulary().get(token) for token in recorded["probes"]} == recorded["probes"]
    assert ("" in vocabulary()) == recorded["empty_string_in_vocab"]


def test_english_is_spelled_as_recorded(info):
    for case in info["text_en"]:
        ids = speech_ids(case["text"])
        assert (list(ids), len(ids)) == (case["ids"], case["length"]), case["text"]


def test_chinese_is_spelled_as_recorded(info):
    for case in info["text_zh"]:
        ids = speech_ids(case["text"])
        assert tokenize(case["text"]) == case["tokens"]
        assert (list(ids), len(ids)) == (case["ids"], case["length"]), case["text"]


def test_the_null_text_is_the_recorded_one(info):
    recorded = info["text_null"]
    assert list(NULL_SPEECH) == recorded["ids"]
    assert len(NULL_SPEECH) == recorded["key_length"]


def test_texts_after_a_reference_voice_are_the_recorded_ones(info):
    for case in info["text_reference_concat"].values():
        assert list(pad_speech_ids(speech_ids(join_reference(case["ref"], case["target"])))) == case["ids"]
        assert list(pad_speech_ids(speech_ids(join_reference(case["ref"], "")))) == case["null_ids"]


def test_the_mel_filters_are_the_recorded_ones(numbers):
    torch.testing.assert_close(mel.mel_filters(), numbers["mel/filterbank"], rtol=0, atol=1e-8)


def test_the_waveforms_are_the_recorded_ones(numbers, chirps):
    for name, (seconds, volume, stride) in recorded_under(numbers, r"mel/([\d.]+)s/(\w+)/waveform_every_(\d+)th"):
        waveform = chirps(float(seconds))
        waveform = mel.rescale_volume(waveform) if volume == "rescaled" else waveform
        torch.testing.assert_close(waveform[:: int(stride)], numbers[name], rtol=0, atol=1e-7)


def test_mels_are_the_recorded_ones(info, numbers, chirps):
    for name, (seconds, volume, kind) in recorded_under(numbers, r"mel/([\d.]+)s/(\w+)/(log|normalised)"):
        waveform = chirps(float(seconds))
        found = mel.log_mel(mel.rescale_volume(waveform) if volume == "rescaled" else waveform)
        assert found.shape[-1] == info["mel"]["frames"][f"{seconds}s"]
        if kind == "log":
            assert_same_mel(found, numbers[name])
        else:
            assert_same_mel(mel.normalize_mel(found), numbers[name], scale=mel.MEL_STD)


def test_the_mel_of_a_reference_voice_ends_in_silence_as_recorded(numbers, chirps):
    pattern = r"mel/reference_([\d.]+)s_plus_([\d.]+)s_zeros/normalised"
    for name, (seconds, silence) in recorded_under(numbers, pattern):
        voice = mel.rescale_volume(chirps(float(seconds)))
        waveform = torch.cat([voice, torch.zeros(round(SAMPLE_RATE * float(silence)))])
        found = mel.normalize_mel(mel.log_mel(waveform))
        assert_same_mel(found, numbers[name], scale=mel.MEL_STD)


def test_normalising_uses_the_recorded_statistics(info):
    assert (info["mel"]["mean"], info["mel"]["std"]) == (mel.MEL_MEAN, mel.MEL_STD)


def test_volume_is_rescaled_as_recorded(info):
    recorded = info["volume_rescale"]
    found = mel.rescale_volume(torch.tensor(recorded["input"]))
    torch.testing.assert_close(found, torch.tensor(recorded["output"]), rtol=0, atol=1e-7)


def test_picture_sizes_are_the_recorded_ones(info):
    for case in info["resize"]:
        width, height = fit_size(case["width_in"], case["height_in"])
        assert (height, width) == (case["height_out"], case["width_out"]), case


def test_the_short_side_is_exact_where_the_release_slips(info):
    for side in info["resize_rounding_quirk"]["short_sides"]:
        assert fit_size(side, side) == (736, 736)


def test_resized_pixels_are_the_recorded_ones(info, numbers):
    recorded = info["resize_pixels"]
    height, width = map(int, re.match(r"(\d+) x (\d+) RGB", recorded["image"]).groups())
    y, x = np.mgrid[:height, :width]
    picture = np.stack([(7 * y + 3 * x) % 256, (y * y // 50 + 5 * x) % 256, (x * x // 40 + 2 * y) % 256], axis=-1)
    new_height, new_width = recorded["output_hw"]
    assert fit_size(width, height) == (new_width, new_height)
    resized = resize(torch.from_numpy(picture)[None] / 255, new_width, new_height)[0].permute(2, 0, 1) * 2 - 1
    ((name, (rows, columns)),) = recorded_under(numbers, r"resize/pixels_every_(\d+)\w\w_row_(\d+)\w\w_col")
    found = resized[:, :: int(rows), :: int(columns)]
    torch.testing.assert_close(found, numbers[name], rtol=0, atol=PIXEL_TOLERANCE)
