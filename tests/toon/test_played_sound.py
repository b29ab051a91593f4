"""Evaluation hears the sound of the file that a user gets, not the mel that the network made."""

import numpy as np
import pytest
import torch

from toon.clips import make_clip
from toon.evaluation.cases import cases_of
from toon.evaluation.generate_cases import Made, coded, decode, with_kept
from toon.evaluation.played_sound import played_sounds, through_aac
from uniavgen_core.bundled.bundled_files import load_codec
from uniavgen_core.media.audio.loudness import CEILING
from uniavgen_core.media.audio.mel import denormalize_mel, log_mel, normalized_mel


@pytest.fixture(scope="module")
def cases():
    return cases_of("joint", 2, 10_000_000)


def test_a_sound_comes_back_from_its_file_in_time_and_as_long():
    waveform = 0.7 * torch.from_numpy(make_clip(3).waveform)
    played = through_aac(waveform)
    assert played.shape == waveform.shape
    shifts = [float((torch.roll(played, shift) * waveform).sum()) for shift in range(-30, 31)]
    assert int(np.argmax(shifts)) == 30
    assert 20 * torch.log10((played - waveform).square().mean().sqrt() / waveform.square().mean().sqrt()) < -15


def test_a_decoded_clip_holds_the_sound_of_the_file_and_its_mel(cases):
    mel = torch.stack([case.mel for case in cases])
    made = decode(load_codec(), torch.zeros(2, 48, 1, 4, 4), mel)
    for clip, case in zip(made, cases, strict=True):
        assert torch.equal(clip.log_mel, log_mel(clip.waveform))
        assert len(clip.waveform) == 240 * len(case.mel)
        assert clip.waveform.abs().max() < CEILING * 1.12
        wanted = denormalize_mel(case.mel).T
        loud = wanted > wanted.max() - 6
        assert 0.005 < (clip.log_mel - wanted - (clip.log_mel - wanted)[loud].mean())[loud].abs().mean() < 0.6


def test_a_mel_that_no_sound_has_is_judged_by_the_sound_it_becomes(cases):
    """Every second bin silent: the file's sound fills the gaps, and a judge of the mel alone would not know."""
    striped = cases[0].mel.clone()
    striped[:, ::2] = striped.min()
    heard = decode(load_codec(), torch.zeros(1, 48, 1, 4, 4), striped[None])[0].log_mel
    assert (heard[::2] - denormalize_mel(striped).T[::2]).mean() > 1


def test_kept_sound_is_the_users_own(cases):
    case = cases_of("audio_driven", 1, 10_000_000)[0]
    silence = Made.of(case.frames, torch.zeros(240 * len(case.mel)))
    assert torch.equal(with_kept(silence, case).waveform, case.waveform[: 240 * len(case.mel)])
    assert with_kept(silence, cases[0]) is silence


def test_a_true_clip_through_both_codecs_is_near_itself(cases):
    made = coded(load_codec(), cases[0])
    assert np.abs(made.frames.astype(int) - cases[0].frames).mean() < 6
    apart = (normalized_mel(made.waveform) - cases[0].mel).abs().mean()
    other = (normalized_mel(made.waveform) - cases[1].mel).abs().mean()
    assert apart < 0.5 * other


def test_a_batch_sounds_as_each_of_its_clips_does(cases):
    both = played_sounds(torch.stack([case.mel for case in cases]))
    assert torch.allclose(both[1], played_sounds(cases[1].mel[None])[0], atol=1e-4)
