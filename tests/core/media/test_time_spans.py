"""Kept spans: how they are read, and what they keep."""

import random
from math import inf

import pytest
import torch

from tests.sounds import sample_mask
from uniavgen_core.media.time_spans import EVERYTHING, NOTHING, Spans, parse_spans


def kept(mask):
    return mask.nonzero()[:, 0].tolist()


def random_spans(seed, longest=5.0):
    draw = random.Random(seed)
    edges = sorted(draw.uniform(0, longest) for _ in range(2 * draw.randint(1, 4)))
    return Spans(tuple(zip(edges[::2], edges[1::2], strict=True)))


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("0-1.5, 3-4", ((0, 1.5), (3, 4))),
        ("3-4;0 - 1.5", ((0, 1.5), (3, 4))),
        ("2-", ((2, inf),)),
        ("-1.5", ((0, 1.5),)),
        ("-1.5, 2-", ((0, 1.5), (2, inf))),
        (" All ", ((0, inf),)),
        ("", ()),
        (" , ", ()),
        ("0-1, 1-2", ((0, 2),)),
        ("0\u20131.5\uff0c.5e1-6", ((0, 1.5), (5, 6))),
    ],
)
def test_spans_are_read_as_they_are_meant(text, pairs):
    assert parse_spans(text).pairs == pairs


@pytest.mark.parametrize("seed", range(20))
def test_spans_written_out_are_read_back(seed):
    spans = Spans(tuple((round(start, 3), round(stop, 3)) for start, stop in random_spans(seed).pairs))
    assert parse_spans(str(spans)) == spans


@pytest.mark.parametrize("text", ["", "all", "2-", "0-1, 2-"])
def test_open_spans_written_out_are_read_back(text):
    assert str(parse_spans(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0-2, 1-3", "0-2 and 1-3 overlap"),
        ("1-3, 0-2", "0-2 and 1-3 overlap"),
        ("0-, 5-6", "0- and 5-6 overlap"),
        ("0-9, 1-2", "0-9 and 1-2 overlap"),
        ("3-1", "'3-1' ends before it starts. Write '1-3'"),
        ("0-1, -1-2", "'-1-2' begins or ends before 0"),
        ("1--2", "'1--2' begins or ends before 0"),
        ("1.5-1.5", "'1.5-1.5' is empty"),
        ("0-0", "'0-0' is empty"),
        ("one-two", "'one-two' is not made of numbers"),
        ("nan-2", "'nan-2' is not made of numbers"),
        ("inf-", "'inf-' is not made of numbers"),
        ("0-1, 2", "'2' cannot be read. Write spans in seconds"),
        ("-", "'-' cannot be read"),
        ("1-2-3", "'1-2-3' cannot be read"),
        ("everything", "'everything' cannot be read"),
    ],
)
def test_a_bad_span_is_named_in_the_refusal(text, message):
    with pytest.raises(ValueError, match=f"^Spans? {message}"):
        parse_spans(text)


def test_spans_after_the_end_of_a_clip_are_refused_and_others_are_not():
    parse_spans("0-1, 2-9").check_within(3.0, "the video")
    with pytest.raises(ValueError, match="Span 3-4 begins after the end of the video, which is 3 s long"):
        parse_spans("0-1, 3-4").check_within(3.0, "the video")


def test_clipping_cuts_what_lies_after_the_end():
    assert parse_spans("0-1, 2-4, 5-").clipped(3.0) == parse_spans("0-1, 2-3")
    assert parse_spans("0-1, 2-4, 5-").clipped(5.0) == parse_spans("0-1, 2-4")


def test_shifting_moves_both_ends_and_cuts_at_the_start():
    assert parse_spans("0-1, 2-").shifted(0.5) == parse_spans("0.5-1.5, 2.5-")
    assert parse_spans("0-1, 2-4, 5-").shifted(-3) == parse_spans("0-1, 2-")


def inside(spans, times):
    return [any(start <= time < stop for start, stop in spans.pairs) for time in times]


@pytest.mark.parametrize(
    "texts", [("", "1-2"), ("all", "1-2"), ("0-1, 3-", "0.5-2"), ("1-2, 4-5", "2-4"), ("1-9", "2-3, 8-12")]
)
def test_inverting_and_uniting_are_the_not_and_the_or_of_every_time(texts):
    one, other = map(parse_spans, texts)
    times = [step / 8 for step in range(120)]
    first, second = inside(one, times), inside(other, times)
    assert inside(one.inverted(), times) == [not value for value in first]
    assert inside(one.united(other), times) == [a or b for a, b in zip(first, second, strict=True)]
    assert one.inverted().inverted() == one
    assert one.united(other) == other.united(one)


@pytest.mark.parametrize("seed", range(30))
def test_a_frame_is_inside_where_its_middle_is(seed):
    spans = random_spans(seed)
    middles = [(frame + 0.5) / 25 for frame in range(125)]
    inside = [any(start <= middle < stop for start, stop in spans.pairs) for middle in middles]
    assert spans.frame_mask(125, 25).tolist() == inside


def test_nothing_is_false_and_everything_is_true():
    assert not NOTHING
    assert EVERYTHING


def test_everything_keeps_all_and_nothing_keeps_none():
    for spans, share in ((EVERYTHING, 1), (NOTHING, 0)):
        masks = spans.latent_mask(9), spans.mel_mask(206), sample_mask(spans, 1_000, 8_000), spans.frame_mask(30, 30)
        assert [mask.float().mean().item() for mask in masks] == [share] * 4
        assert [len(mask) for mask in masks] == [9, 206, 1_000, 30]


def test_a_latent_is_kept_only_with_all_its_frames():
    # Latent 0 lasts until 1/16 s; latents 1, 2, 3 until 5/16, 9/16 and 13/16 s.
    assert kept(Spans(((0, 9 / 16),)).latent_mask(5)) == [0, 1, 2]
    assert kept(Spans(((0, 8 / 16),)).latent_mask(5)) == [0, 1]
    assert kept(Spans(((0, 8.6 / 16),)).latent_mask(5)) == [0, 1, 2]  # less than half a frame is missing
    assert kept(Spans(((0, 8.4 / 16),)).latent_mask(5)) == [0, 1]
    assert kept(Spans(((1 / 16, 13 / 16),)).latent_mask(5)) == [1, 2, 3]
    assert kept(Spans(((1.6 / 16, 13 / 16),)).latent_mask(5)) == [2, 3]
    assert kept(Spans(((0, 3 / 16), (4 / 16, 1))).latent_mask(5)) == [0, 2, 3]
    assert kept(Spans(((0, 1 / 16),)).latent_mask(1)) == [0]


@pytest.mark.parametrize("seed", range(30))
def test_a_kept_latent_never_shows_a_frame_that_is_not_kept(seed):
    spans = random_spans(seed)
    frames = spans.frame_mask(81, 16).tolist()
    for i, is_kept in enumerate(spans.latent_mask(21).tolist()):
        assert is_kept == all(frames[max(0, 4 * i - 3) : 4 * i + 1])


def test_a_mel_frame_is_kept_only_as_a_whole():
    assert kept(parse_spans("0.02-0.05").mel_mask(10)) == [2, 3, 4]
    assert kept(parse_spans("0.021-0.059").mel_mask(10)) == [3, 4]
    assert kept(parse_spans("0.07-").mel_mask(10)) == [7, 8, 9]
    assert kept(parse_spans("0.021-0.029").mel_mask(10)) == []


def test_hundredths_of_a_second_name_their_mel_frames_exactly():
    for hundredths in range(1, 700):
        assert int(parse_spans(f"0-{hundredths / 100}").mel_mask(700).sum()) == hundredths


def test_a_sample_is_kept_from_the_start_up_to_the_stop():
    assert kept(sample_mask(parse_spans("0.002-0.004"), 10, 1_000)) == [2, 3]
    assert kept(sample_mask(parse_spans("0.0021-0.0041"), 10, 1_000)) == [3, 4]


@pytest.mark.parametrize("seed", range(10))
def test_a_sample_is_inside_where_it_begins(seed):
    spans = random_spans(seed)
    begins = torch.arange(30_000, dtype=torch.float64) / 8_000
    inside = torch.zeros(30_000, dtype=torch.bool)
    for start, stop in spans.pairs:
        inside |= (begins >= start) & (begins < stop)
    assert all(0 <= first < stop <= 30_000 for first, stop in spans.sample_ranges(30_000, 8_000))
    assert torch.equal(sample_mask(spans, 30_000, 8_000), inside)


def test_a_frame_is_kept_when_its_middle_is():
    assert kept(parse_spans("0.14-0.34").frame_mask(6, 10)) == [1, 2]
    assert kept(parse_spans("0.16-0.34").frame_mask(6, 10)) == [2]
