"""A long sound is cut where it pauses, and its words are shared out by time."""

import numpy as np
import pytest
import torch

from uniavgen_core.media.audio.sound_spans import cut_at_pauses, words_of_spans
from uniavgen_core.media.audio.voice_activity import voice_activity

RATE = 24_000


def speech(*spans, seconds=12.0):
    """Noise in spans (start, end), and near silence elsewhere."""
    generator = torch.Generator().manual_seed(0)
    waveform = 1e-4 * torch.randn(round(seconds * RATE), generator=generator)
    for start, stop in spans:
        part = slice(round(start * RATE), round(stop * RATE))
        waveform[part] = 0.2 * torch.randn(part.stop - part.start, generator=generator)
    return waveform


def test_segments_fill_the_film_on_the_codecs_grid_and_none_is_longer_than_it_may_be():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        edges = np.sort(rng.uniform(0, 12, 8))
        ends = cut_at_pauses(speech(*edges.reshape(-1, 2)), 193, 33, 24)
        added = np.diff([0, *ends])
        assert ends[-1] == 193
        assert all(end % 4 == 1 for end in ends)
        assert added[0] <= 33
        assert (added[1:] <= 24).all()
        assert (added[:-1] >= 12).all()


def test_a_cut_comes_in_the_latest_pause_that_a_segment_reaches():
    ends = cut_at_pauses(speech((0.0, 1.1), (1.4, 1.6), (2.0, 3.0)), 49, 33, 32)
    assert ends == [29, 49]
    assert 1.6 < 29 / 16 < 2.0


def test_without_a_pause_the_cut_comes_where_it_is_quietest():
    waveform = speech((0.0, 4.0), seconds=4.0)
    waveform[round(1.4 * RATE) : round(1.7 * RATE)] *= 0.3
    assert cut_at_pauses(waveform, 65, 33, 24)[0] == 25


def test_what_is_silent_throughout_is_cut_as_late_as_it_can_be():
    assert cut_at_pauses(torch.zeros(4 * RATE), 65, 33, 16) == [33, 49, 65]
    assert cut_at_pauses(torch.zeros(RATE), 17, 33, 16) == [17]


def test_segments_that_add_nothing_are_refused():
    with pytest.raises(ValueError, match="add nothing"):
        cut_at_pauses(torch.zeros(RATE), 65, 33, 0)


def test_words_go_to_the_spans_in_which_they_are_spoken():
    activity = voice_activity(speech((0.5, 1.5), (4.0, 6.0)), RATE)
    spans = [(0.0, 2.0), (2.0, 4.0), (4.0, 5.0), (4.5, 12.0)]
    said, starts = words_of_spans("aaa aaa bbb bbb bbb bbb", activity, spans)
    assert said == ["aaa aaa", "", "bbb bbb", "bbb bbb bbb"]
    assert starts == pytest.approx([0.5, 0, 0, 0], abs=0.06)
    assert words_of_spans("", activity, spans) == ([""] * 4, [0] * 4)
    assert words_of_spans("hello", np.zeros(100, bool), spans) == ([""] * 4, [0] * 4)


def test_words_begin_where_they_are_heard_and_not_in_the_pause_before():
    activity = voice_activity(speech((0.5, 1.5), (4.0, 5.0)), RATE)
    said, starts = words_of_spans("aaa bbb", activity, [(0.0, 3.0), (3.0, 6.0), (0.0, 6.0)])
    assert said == ["aaa", "bbb", "aaa bbb"]
    assert starts == pytest.approx([0.5, 1.0, 0.5], abs=0.06)


def test_every_word_is_in_one_of_the_spans_that_share_a_sound_out():
    text = "one two three four five six seven eight nine ten"
    for seed in range(10):
        edges = np.sort(np.random.default_rng(seed).uniform(0, 12, 6))
        spans = list(zip([0, 3, 6, 9], [3, 6, 9, 12], strict=True))
        activity = voice_activity(speech(*edges.reshape(-1, 2)), RATE)
        assert " ".join(filter(None, words_of_spans(text, activity, spans)[0])) == text
