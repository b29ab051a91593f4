"""The measurement of drift: each figure tells of its own damage, in the parts that have it."""

import cv2
import numpy as np
import pytest

from benchmarks import drift
from tools.contact_sheet import Clip


@pytest.fixture(scope="module")
def toon():
    return drift.talking_toon(drift.FIRST_SEED, 0, 6.0)


def parts(toon, damage=lambda frames: frames, sound=None):
    """Figures of the first and the second half of the drawn film, of which the second is damaged."""
    frames, half = toon.frames.copy(), len(toon.frames) // 2
    frames[half:] = damage(frames[half:])
    rows = drift.parts_of(Clip(frames, 16.0, toon.waveform if sound is None else sound, 24_000, ()), toon)
    assert len(rows) == 4
    return [{name: np.mean([row[name] for row in some]) for name in drift.FIGURES} for some in (rows[:2], rows[2:])]


def test_a_film_as_it_was_drawn_keeps_colours_detail_and_sync(toon):
    for row in parts(toon):
        assert row["color"] < 4
        assert 0.9 < row["sharpness"] < 1.1
        assert row["sync"] == pytest.approx(row["sync as drawn"])
        assert row["sync"] > 0.5


def test_a_tint_is_seen_in_the_parts_that_have_it(toon):
    first, last = parts(toon, lambda frames: (frames * 0.9).astype(np.uint8))
    assert last["color"] > first["color"] + 8
    assert last["psnr"] < first["psnr"] - 1


def test_blur_is_seen_in_the_parts_that_have_it(toon):
    first, last = parts(toon, lambda frames: np.stack([cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in frames]))
    assert last["sharpness"] < 0.6 * first["sharpness"]


def test_another_sound_loses_the_sync(toon):
    sound = np.roll(toon.waveform, 24_000 // 3)
    assert max(row["sync"] for row in parts(toon, sound=sound)) < 0.4


def test_the_table_says_how_far_the_last_part_is_from_the_first():
    rows = [dict.fromkeys(drift.FIGURES, value) for value in (1.0, 0.5)]
    assert "psnr -0.5" in drift.table({"toons": 3, "parts": rows})
