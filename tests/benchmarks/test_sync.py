"""The measurement of the Sync Meter: toons' own sounds outscore false ones, and a folder of videos is measured too."""

from argparse import Namespace

import numpy as np
import pytest

from benchmarks import sync
from tests.clip_files import write_clip
from toon.clips import make_clip


def test_the_area_counts_pairs_in_which_the_true_value_is_higher_and_ties_by_half():
    assert sync.area_under_curve([1, 3], [0, 3]) == pytest.approx((1 + 0 + 1 + 0.5) / 4, abs=1e-3)


def test_own_sounds_outscore_late_early_and_swapped_ones_and_every_video_gets_a_plot(tmp_path):
    folder, plots = tmp_path / "clips", tmp_path / "plots"
    folder.mkdir()
    for seed in (101, 103):
        clip = make_clip(seed, 65, split="held_out")
        write_clip(folder / f"{seed}.mp4", clip.frames, np.pad(clip.waveform, (0, 2000)))
    write_clip(folder / "mute.mp4", clip.frames[:17])
    results = sync.measure(Namespace(toons=6, clips=folder, plots=plots))
    for row in results.values():
        assert row["without_face"] == 0
        assert min(row["auc"].values()) > 0.7
    assert results["clips"]["clips"] == 2
    assert "101.mp4" in sync.table(results)
    assert sorted(path.name for path in plots.iterdir()) == ["101.png", "103.png"]


def test_a_clip_alone_has_no_swapped_sound_and_its_table_says_so():
    row = sync.scores_of({"alone": sync.toon(101, 33)})
    assert row["auc"]["swapped"] is None
    assert sync.table({"toons": row}).splitlines()[1].split()[-1] == "-"
