"""The judges learn what they judge, are kept for their recipe, and have their accuracy beside them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from uniavgen_core.evaluation import judges as module
from uniavgen_core.evaluation.face_judge import seen_emotions, train_face_judge
from uniavgen_core.evaluation.judge_data import SILENT, draw_faces, draw_sounds
from uniavgen_core.evaluation.judges import NAMES, JudgeRecipe, judges_of
from uniavgen_core.toon import WORDS

TINY = JudgeRecipe(
    sounds=8, faces=3, held_out=6, word_steps=2, voice_steps=2, emotion_steps=2, face_steps=2
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("judges")
    judges_of(path, TINY)
    return path


def test_kept_judges_are_read_and_not_trained_again(folder, monkeypatch):
    first = judges_of(folder, TINY)
    monkeypatch.setattr(module, "_train", lambda *_: pytest.fail("trained again"))
    second = judges_of(folder, TINY)
    mel = torch.randn(2, 80, 100, generator=torch.Generator().manual_seed(0))
    assert torch.equal(first.voice(mel), second.voice(mel))
    assert torch.equal(first.words(mel), second.words(mel))
    assert first.accuracy == second.accuracy
    assert set(first.accuracy) == set(NAMES)
    assert len(list(folder.iterdir())) == 1


def test_the_same_recipe_makes_the_same_judges(folder, tmp_path):
    again, kept = judges_of(tmp_path, TINY), judges_of(folder, TINY)
    for name in ("words", "voice", "sound", "face"):
        first, second = (getattr(judges, name).state_dict() for judges in (again, kept))
        assert all(torch.equal(first[key], second[key]) for key in first), name


def test_another_recipe_or_vocabulary_has_another_key(monkeypatch):
    assert replace(TINY, face_steps=3).key != TINY.key
    key = TINY.key
    monkeypatch.setattr(module, "WORDS", WORDS[:-1])
    assert TINY.key != key


def test_judges_hear_begun_late_and_cut_sentences_with_silence_for_what_was_kept():
    sounds = draw_sounds(5_000_000, 40)
    silenced = (sounds.mels == SILENT).all(1)
    starts = silenced.sum(1)
    assert (starts == 0).sum() > 10
    assert (starts > 20).sum() > 10
    for flags, start in zip(silenced, starts, strict=True):
        assert flags[:start].all()  # only from the beginning
    loud = sounds.mels.exp().mean(1).log() > -6
    first_loud = np.array([int(row.nonzero()[0]) for row in loud])
    assert (first_loud < 30).sum() > 5
    assert (first_loud > 60).sum() > 5
    assert all(set(text.split()) <= set(WORDS) for text in sounds.transcripts)
    assert all(first >= start + 3 for first, start in zip(first_loud, starts, strict=True))


def test_the_face_judge_tells_emotions_of_toons_it_never_saw():
    judge = train_face_judge(*draw_faces(5_000_000, 60), steps=60)
    pictures, emotions = draw_faces(5_600_000, 24, "held_out")
    assert (seen_emotions(judge, pictures) == emotions).float().mean() > 0.6
