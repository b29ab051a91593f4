"""The judge of voices tells voices apart, whatever is said, and hears nothing in silence."""

import torch

from toon.evaluation.voice_judge import heard_classes, train_sound_judge
from uniavgen_core.media.audio.mel import normalize_mel

QUIET = -9.0


def voices_of(count, seed):
    """Log-mels of two voices, one bright and one dark, each with loud moments at places of its own."""
    generator = torch.Generator().manual_seed(seed)
    voices = torch.arange(count) % 2
    tilt = torch.linspace(-1, 1, 80)[:, None]
    mels = torch.full((count, 80, 64), QUIET)
    for mel, voice in zip(mels, voices, strict=True):
        start = int(torch.randint(40, (), generator=generator))
        words = torch.randn(80, 20, generator=generator)
        mel[:, start : start + 20] = -3 + words + (1.5 if voice else -1.5) * tilt
    return mels, voices


def test_the_judge_knows_voices_by_their_colour_and_not_by_their_words():
    judge = train_sound_judge(*voices_of(64, 0), 2, steps=40)
    mels, voices = voices_of(32, 1)
    assert torch.equal(heard_classes(judge, mels), voices)


def test_silence_around_speech_and_how_deep_it_is_does_not_matter():
    judge = train_sound_judge(*voices_of(64, 0), 2, steps=5)
    mels, _ = voices_of(8, 2)
    padded = torch.cat([torch.full((8, 80, 40), QUIET), mels.where(mels > QUIET, -12.0)], dim=2)
    torch.testing.assert_close(judge(normalize_mel(padded)), judge(normalize_mel(mels)), atol=0.05, rtol=0)


def test_the_same_seed_gives_the_same_judge():
    first, second = (train_sound_judge(*voices_of(16, 0), 2, steps=2, seed=5).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
