"""The measurement of levels: what it counts, and that the quick start's sound is not cut off."""

import torch

from benchmarks import levels
from tools.template_titles import api_file
from tools.workflow import read_workflow
from uniavgen_core.media.audio.loudness import CEILING_DB


def test_only_the_beginning_that_was_given_is_left_out():
    given, sound = torch.arange(5.0), torch.tensor([0.0, 1.0, 2.0, 9.0, 4.0, 5.0])
    assert levels.is_given(sound, [given]).tolist() == [True] * 3 + [False] * 3
    assert levels.is_given(sound, [given[:2], sound + 1]).tolist() == [True] * 2 + [False] * 4
    assert not levels.is_given(sound, []).any()


def test_the_quick_start_has_no_clipped_sample_in_a_real_server(server, tmp_path):
    workflow = read_workflow(api_file("quick_start"))
    row = levels.levels_of(server, levels.prepared(workflow, 1, 2), tmp_path)
    assert row["clipped"] == 0
    assert CEILING_DB - 1 < row["peak_db"] <= CEILING_DB + 0.01
    assert row["aac_peak_db"] < 0  # noise, as two steps make it, peaks higher after AAC than speech does
    assert row["seconds"] > 2
    results = {
        "clips": [{"template": "quick_start", "seed": 1, **row}],
        "clipped": 0,
        "highest_aac_peak_db": row["aac_peak_db"],
        "loudness_range": 0.0,
    }
    assert "quick_start" in levels.table(results)


def test_the_sound_of_a_long_video_is_measured_too(server, tmp_path):
    workflow = read_workflow(api_file("long_video"))
    row = levels.levels_of(server, levels.prepared(workflow, 1, None), tmp_path)
    assert row["clipped"] == 0
    assert row["seconds"] > 4
