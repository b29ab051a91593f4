"""Takes are rated by sync, sound and picture: each kind of damage costs its own rating, and the best comes first."""

import numpy as np
import pytest
import torch

from toon.clips import make_clip
from uniavgen_core.evaluation.takes import CRITERIA, Take, best_first, draw_takes, rate_take

RATE, FPS = 24_000, 16


@pytest.fixture(scope="module")
def clip():
    return make_clip(10_900_003, 49, split="held_out")


def rated(clip, frames=None, waveform=None, seed=0, heard=None):
    waveform = torch.from_numpy(clip.waveform) if waveform is None else waveform
    frames = clip.frames if frames is None else frames
    heard = clip.transcript if heard is None else heard
    return rate_take(seed, frames, FPS, (waveform, RATE), clip.transcript, lambda *_: heard).ratings


def blurred(frames):
    frames = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    soft = torch.nn.functional.avg_pool2d(frames, 5, 1, 2, count_include_pad=False)
    soft[0] = frames[0]
    return soft.permute(0, 2, 3, 1).byte().numpy()


DAMAGES = {
    "sync": lambda c: {"waveform": torch.from_numpy(c.waveform).roll(RATE // 2)},
    "spoken": lambda c: {"waveform": torch.from_numpy(c.waveform) * (torch.arange(len(c.waveform)) > 0.8 * RATE)},
    "words": lambda c: {"heard": c.transcript.split()[0]},
    "ends": lambda c: {"waveform": torch.from_numpy(np.concatenate([c.waveform, c.waveform]))},
    "clean": lambda c: {"waveform": (20 * torch.from_numpy(c.waveform)).clamp(-1, 1)},
    "sharp": lambda c: {"frames": blurred(c.frames)},
    "moves": lambda c: {"frames": np.repeat(c.frames[:1], len(c.frames), 0)},
    "face": lambda c: {"frames": np.concatenate([c.frames[:1], np.roll(c.frames[1:], 60, 2)[:, ::-1]])},
}


@pytest.mark.parametrize("name", CRITERIA)
def test_each_kind_of_damage_lowers_its_own_rating(clip, name):
    whole, damaged = rated(clip), rated(clip, **DAMAGES[name](clip))
    assert set(whole) == set(CRITERIA)
    assert all(0 <= value <= 1 for value in (*whole.values(), *damaged.values()))
    assert damaged[name] < whole[name] - 0.1


def test_a_true_clip_has_all_its_ratings(clip):
    assert min(rated(clip).values()) > 0.7


def test_without_the_words_their_time_is_not_judged(clip):
    ratings = rate_take(0, clip.frames, FPS, (torch.from_numpy(clip.waveform), RATE), "", lambda *_: "yes").ratings
    assert {"spoken", "words", "ends"}.isdisjoint(ratings)


def test_words_are_rated_only_by_a_recognizer_and_by_the_share_it_hears(clip):
    sound = torch.from_numpy(clip.waveform), RATE
    assert "words" not in rate_take(0, clip.frames, FPS, sound, clip.transcript).ratings
    heard, said = [], "red bird no two"
    take = rate_take(0, clip.frames, FPS, sound, "Red bird, yes: 2!", lambda *given: heard.append(given) or said)
    assert take.ratings["words"] == pytest.approx(3 / 4)
    assert heard == [sound]
    assert "words" not in rate_take(0, clip.frames, FPS, sound, "...", lambda *_: "yes").ratings


def take(seed, **ratings):
    return Take(seed, ratings, np.full((4, 32, 32, 3), seed, np.uint8))


def test_the_take_with_the_highest_product_of_ratings_comes_first():
    takes = [take(1, sync=0.9, sharp=0.5), take(2, sync=0.7, sharp=0.9), take(3, sync=0.7, sharp=0.9)]
    assert [each.seed for each in best_first(takes)] == [2, 3, 1]
    assert takes[0].total == pytest.approx(0.45)


def test_the_table_has_a_row_for_each_take_with_its_pictures():
    table = draw_takes([take(200, sync=0.9), take(90, sync=0.5, face=1.0)])
    assert table.shape[0] == 40 + 2 * (112 + 8) + 8
    assert (table[60, 40] == 200).all()
    assert (table[200, 40] == 90).all()


def test_without_a_face_detector_faces_are_not_compared_and_the_rest_is(clip, monkeypatch):
    monkeypatch.setattr("uniavgen_core.evaluation.takes.available_detector", lambda: None)
    assert set(rated(clip)) == set(CRITERIA) - {"face"}
