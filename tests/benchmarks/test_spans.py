"""The measurement of marked spans: damages are counted as found and located, and undamaged clips as marked or not."""

from argparse import Namespace

import numpy as np
import pytest
import torch

from benchmarks import spans
from benchmarks.sync import toon
from tests.clip_files import write_clip
from uniavgen_core.media.time_spans import Spans


@pytest.fixture(scope="module")
def toons():
    return [toon(10_910_000 + number, 65) for number in range(2)]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ((), (False, False, False)),
        (((1.1, 2.1),), (True, True, False)),
        (((0.4, 2.0),), (True, False, False)),
        (((1.2, 1.4), (1.7, 2.2)), (True, True, False)),
        (((1.2, 2.0), (3.0, 4.0)), (True, True, True)),
        (((3.0, 4.0),), (False, False, True)),
    ],
)
def test_a_damage_is_found_if_marked_spans_overlap_it_and_located_if_they_end_near_its_ends(toons, pairs, expected):
    damaged = spans.DamagedClip(toons[0], "late", 1.0, 2.0)
    assert spans.judge(damaged, Spans(pairs)) == expected


def test_every_damage_changes_the_sound_in_its_span_and_nowhere_else(toons):
    made = list(spans.damage(toons))
    assert [one.kind for one in made] == [*spans.KINDS] * 2
    for number, one in enumerate(made):
        own, new = toons[number // len(spans.KINDS)].waveform, one.clip.waveform
        times = (own != new).nonzero().flatten() / 24_000
        assert times.min() >= one.start - 1e-3
        assert times.max() <= one.stop + 1e-3
        assert (times.max() - times.min()) > 0.5
    late = made[0]
    middle = slice(round((late.start + 0.1) * 24_000), round((late.stop - 0.1) * 24_000))
    assert torch.equal(late.clip.waveform[middle], toons[0].waveform.roll(12_000)[middle])


def test_damages_are_found_and_videos_without_damage_are_listed_only_if_they_are_marked(tmp_path, toons):
    for number, clip in enumerate(toons):
        write_clip(tmp_path / f"{number}.mp4", clip.frames, np.pad(clip.waveform.numpy(), (0, 2000)))
    results = spans.measure(Namespace(toons=2, clips=tmp_path))
    assert sum(row["spans"] for row in results["damaged"].values()) == 10
    assert sum(row["found"] for row in results["damaged"].values()) >= 7
    assert results["undamaged"]["videos"]["clips"] == 2
    lines = spans.table(results).splitlines()
    assert lines[4].split()[:2] == ["all", "10"]
    assert "undamaged videos: " in lines[-1] or lines[-1].startswith("  ")
