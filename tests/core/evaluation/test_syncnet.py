"""SyncNet's wiring, on random weights in a file of the published layout, and its comparison by itself."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from uniavgen_core.evaluation.syncnet import SyncJudge, SyncNet, at_25_fps, cepstra_of, confidence_of, crop_face
from uniavgen_core.media.faces.face_tracks import Face


class Finder:
    """Finds a face at a place of its own in every frame but those that are left out."""

    def __init__(self, *unseen):
        self.frame, self.unseen = -1, unseen

    def find(self, picture):
        del picture
        self.frame += 1
        return [] if self.frame in self.unseen else [Face(np.array([20, 20, 60, 70], np.float32))]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("syncnet") / "syncnet_v2.model"
    torch.save(SyncNet().state_dict(), path)
    return path


@pytest.fixture(scope="module")
def clip():
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (12, 96, 96, 3)).astype(np.uint8)
    return SimpleNamespace(frames=frames, sound=torch.from_numpy(random.standard_normal(24_000)).float() / 5)


def test_names_shapes_and_size_are_the_published_files():
    weights = SyncNet().state_dict()
    assert weights["netcnnaud.18.weight"].shape == (512, 256, 5, 4)
    assert weights["netcnnlip.18.weight"].shape == (512, 256, 1, 6, 6)
    assert weights["netcnnlip.0.weight"].shape == (3 * 32, 3, 5, 7, 7)
    assert weights["netfclip.3.weight"].shape == weights["netfcaud.3.weight"].shape == (1024, 512)
    assert round(sum(value.nbytes for value in weights.values()) / 1e6, 1) == 54.6


@pytest.mark.parametrize("early", [-6, 0, 3])
def test_the_offset_is_the_frames_by_which_sound_is_early_and_confidence_falls_with_noise(early):
    generator = torch.Generator().manual_seed(0)
    seen = torch.randn(60, 32, generator=generator)
    heard = torch.roll(seen, -early, 0)
    noise = torch.randn(seen.shape, generator=generator)
    found = [confidence_of(seen, heard + level * noise) for level in (0, 0.5, 1, 2)]
    assert [offset for _, offset in found[:3]] == [early] * 3
    confidences = [confidence for confidence, _ in found]
    assert confidences == sorted(confidences, reverse=True)
    assert confidences[0] > 2 * confidences[-1] > 0


def test_a_clip_is_rated_the_same_each_time_and_otherwise_with_other_sound(file, clip):
    judge = SyncJudge(file, Finder())
    values = judge.rate(clip.frames, 16, clip.sound, 24_000)
    judge.finder = Finder()
    assert judge.rate(clip.frames, 16, clip.sound, 24_000) == values
    judge.finder = Finder()
    assert judge.rate(clip.frames, 16, clip.sound.flip(0), 24_000)["LS"] != values["LS"]


def test_the_crop_follows_the_face_blue_first_and_reaches_further_down():
    frames = np.zeros((5, 96, 96, 3), np.uint8)
    frames[:, 45:, :, 0] = 200  # red below the middle of the face
    crops = crop_face(frames, Finder())
    assert crops.shape == (5, 3, 224, 224)
    assert crops[:, :2].max() == 0 or crops[:, 0, 100:120].max() == 0
    rows = (crops[0, 2, :, 112] > 100).nonzero().flatten()
    assert rows.min() == pytest.approx(224 / 2.8, abs=4)


def test_a_short_gap_is_bridged_and_a_face_that_leaves_is_refused():
    frames = np.zeros((8, 96, 96, 3), np.uint8)
    assert len(crop_face(frames, Finder(3, 4))) == 8
    with pytest.raises(ValueError, match="first frame to the last"):
        crop_face(frames, Finder(6, 7))
    with pytest.raises(ValueError, match="first frame to the last"):
        crop_face(frames, Finder(*range(8)))


def test_frames_are_shown_as_25_a_second():
    frames = np.arange(32).reshape(-1, 1, 1, 1)
    assert at_25_fps(frames, 25).ravel().tolist() == list(range(32))
    assert len(at_25_fps(frames, 16)) == 50
    assert at_25_fps(frames, 50).ravel().tolist() == list(range(0, 32, 2))


def test_cepstra_come_a_hundred_a_second_whatever_the_rate(clip):
    assert cepstra_of(clip.sound, 24_000).shape[0] == 13
    assert cepstra_of(clip.sound, 24_000).shape[1] == pytest.approx(100, abs=2)
    assert cepstra_of(clip.sound, 12_000).shape[1] == pytest.approx(200, abs=2)


def test_another_file_and_a_missing_one_are_refused_in_words(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="does not fit SyncNet"):
        SyncJudge(tmp_path / "other.pt", Finder())
    with pytest.raises(ValueError, match="nothing is there"):
        SyncJudge(tmp_path / "none.model", Finder())


def test_a_clip_shorter_than_five_frames_is_refused(file, clip):
    with pytest.raises(ValueError, match="at least 5"):
        SyncJudge(file, Finder()).rate(clip.frames[:2], 16, clip.sound, 24_000)
