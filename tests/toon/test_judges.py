"""The judges learn what they judge, are kept for their recipe, and have their accuracy beside them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from toon.evaluation import judges as module
from toon.evaluation.face_judge import seen_emotions, train_face_judge
from toon.evaluation.judge_data import HELD_OUT_SEED, SILENT, draw_faces, draw_sounds
from toon.evaluation.judges import NAMES, SHIPPED, JudgeRecipe, judges_of, key_of
from toon.evaluation.word_recognizer import VOCABULARY

TINY = JudgeRecipe(
    sounds=8, faces=3, parts=2, held_out=6, word_steps=2, voice_steps=2, emotion_steps=2, face_steps=2, place_steps=2,
    gaze_steps=2, part_steps=2,
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
    monkeypatch.setattr(module, "VOCABULARY", VOCABULARY[:-1])
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
    assert all(set(text.split()) <= set(VOCABULARY) for text in sounds.transcripts)
    assert all(first >= start + 3 for first, start in zip(first_loud, starts, strict=True))


def drawn_faces(count, seed):
    """Pictures with a dark brow that rises, lies flat or falls, somewhere on a skin of some colour."""
    rng = np.random.default_rng(seed)
    emotions, rows = np.arange(count) % 3, np.arange(64)[:, None]
    pictures = np.empty((count, 2, 3, 64, 64), np.float32)
    for picture, emotion in zip(pictures, emotions, strict=True):
        picture[:] = rng.uniform(0.4, 0.9, (1, 3, 1, 1))
        line = rng.uniform(28, 36) + (emotion - 1) * 0.5 * (np.arange(64) - 32)
        picture[..., (np.abs(rows - line) < 3) & (np.abs(np.arange(64) - 32) < 14)] = 0.1
    return torch.from_numpy(pictures), torch.from_numpy(emotions)


def test_the_face_judge_tells_looks_apart_whatever_the_colour_and_is_the_same_for_the_same_seed():
    judge = train_face_judge(*drawn_faces(60, 0), steps=60)
    pictures, emotions = drawn_faces(30, 1)
    assert (seen_emotions(judge, pictures) == emotions).float().mean() > 0.9
    first, second = (train_face_judge(*drawn_faces(9, 0), steps=2, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_faces_are_drawn_from_seeds_with_all_emotions_and_differ():
    pictures, emotions = draw_faces(5_000_000, 8)
    again, _ = draw_faces(5_000_000, 2)
    assert torch.equal(pictures[:2], again)
    assert len(set(emotions.tolist())) == 3
    assert (pictures[0] - pictures[1]).abs().mean() > 0.05


def test_the_judges_of_the_default_recipe_come_with_the_repository(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_train", lambda *_: pytest.fail("trained again"))
    assert key_of(SHIPPED) == JudgeRecipe().key, "train them again: python -m toon.evaluation.judges"
    judges = judges_of(tmp_path)
    assert set(judges.accuracy) == set(NAMES)
    assert min(judges.accuracy.values()) > 0.8
    pictures, emotions = draw_faces(HELD_OUT_SEED, 12, "held_out")
    found = seen_emotions(judges.face, pictures)
    assert abs((found == emotions).float().mean().item() - judges.accuracy["emotion, face"]) < 0.3
