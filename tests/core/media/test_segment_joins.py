"""Joins: as loud as the segments, without a fade from silence, whatever the overlap has in common."""

from math import pi

import pytest
import torch

from tests.sounds import rms_db
from uniavgen_core.media.segment_joins import join_frames, join_sounds, trailing_ramp, with_kept_look

OVERLAP = 2_400


def noise(samples, seed=0, level=0.1):
    return level * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def tone(hertz, samples, phase=0.0, level=0.2):
    return level * torch.sin(2 * pi * hertz * torch.arange(samples, dtype=torch.float64) / 24_000 + phase).float()


def around_joins(joined, parts, window):
    """Sound in a window round the middle of every join."""
    middle = len(parts[0]) - OVERLAP // 2
    for part in parts[1:]:
        yield joined[middle - window // 2 : middle + window // 2]
        middle += len(part) - OVERLAP


def assert_even(parts, limit=1.0):
    joined = join_sounds(parts, OVERLAP)
    own = [rms_db(part) for part in parts]
    for window in (OVERLAP // 4, OVERLAP, 4 * OVERLAP):
        for place in around_joins(joined, parts, window):
            assert min(own) - limit < rms_db(place) < max(own) + limit


def test_segments_that_share_the_very_same_sound_join_to_it():
    whole = noise(100_000)
    parts = [whole[:40_000], whole[40_000 - OVERLAP : 70_000], whole[70_000 - OVERLAP :]]
    torch.testing.assert_close(join_sounds(parts, OVERLAP), whole, rtol=0, atol=1e-6)


def test_unlike_sounds_do_not_dip():
    assert_even([noise(30_000, seed) for seed in range(5)])


@pytest.mark.parametrize("phase", [0.0, 0.5, 1.0, pi / 2, 2.0])
def test_alike_sounds_out_of_step_neither_dip_nor_double(phase):
    assert_even([tone(240, 24_000), tone(240, 24_000, phase), tone(240, 24_000, 2 * phase)])


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_sounds_with_something_in_common_neither_dip_nor_double(share):
    common = noise(80_000)
    parts = []
    for seed in range(1, 4):
        start = 24_000 * (seed - 1) - OVERLAP * (seed - 1)
        segment = common[start : start + 24_000]
        parts.append(share**0.5 * segment + (1 - share) ** 0.5 * noise(24_000, seed))
    assert_even(parts)


@pytest.mark.parametrize("levels", [(1, 0.5, 1), (0.4, 1, 0.4), (1, 1 / 3, 1 / 9)])
def test_a_segment_of_another_level_starts_at_the_one_before_and_returns_to_its_own(levels):
    whole = noise(200_000)
    starts = (0, 60_000, 120_000)
    parts = [level * whole[start : start + 60_000 + OVERLAP] for level, start in zip(levels, starts, strict=True)]
    joined = join_sounds(parts, OVERLAP)
    for index in (1, 2):
        assert rms_db(joined[starts[index] + OVERLAP :][:1_000]) == pytest.approx(rms_db(parts[index - 1]), abs=1)
        assert rms_db(joined[starts[index] + 55_000 :][:4_000]) == pytest.approx(rms_db(parts[index]), abs=0.3)
        edge = starts[index] + OVERLAP + 24_000
        torch.testing.assert_close(joined[edge : starts[index] + 60_000], parts[index][OVERLAP + 24_000 : 60_000])


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_segment_that_fades_in_from_silence_leaves_no_hole(share):
    whole = noise(100_000)
    later = whole[50_000 - OVERLAP :].clone()
    length = round(share * OVERLAP)
    later[:length] *= torch.linspace(0, 1, length)
    assert_even([whole[:50_000], later], limit=3)
    assert abs(rms_db(join_sounds([whole[:50_000], later], OVERLAP)[50_000:52_000]) - rms_db(whole)) < 3
    assert_even([whole[:50_000], torch.cat([later[:OVERLAP], noise(50_000, 1)])], limit=3)


def test_speech_after_a_pause_is_not_made_louder_or_softer():
    for pause in (torch.zeros(OVERLAP), noise(OVERLAP, 2, level=1e-5)):
        earlier, later = torch.cat([noise(20_000), pause]), torch.cat([pause, noise(20_000, 1)])
        joined = join_sounds([earlier, later], OVERLAP)
        assert torch.equal(joined[-20_000:], later[-20_000:])
        assert torch.equal(joined[:20_000], earlier[:20_000])
    whisper = torch.cat([noise(OVERLAP, 3, level=2e-3), noise(20_000, 1)])
    assert rms_db(join_sounds([noise(20_000), whisper], OVERLAP)[20_000:24_000]) < -20 + 12.2


def test_outside_the_overlap_and_what_relaxes_nothing_changes():
    parts = [noise(60_000, seed) for seed in range(2)]
    joined = join_sounds(parts, OVERLAP)
    assert len(joined) == 120_000 - OVERLAP
    assert torch.equal(joined[: 60_000 - OVERLAP], parts[0][:-OVERLAP])
    assert torch.equal(joined[-30_000:], parts[1][-30_000:])


def test_segments_may_overlap_on_both_sides_and_be_short():
    whole = noise(10_000)
    parts = [whole[:4_000], whole[1_600:4_100], whole[1_700:]]
    torch.testing.assert_close(join_sounds(parts, OVERLAP), whole, rtol=0, atol=1e-6)


def test_one_segment_and_no_overlap_change_nothing():
    parts = [noise(5_000), noise(6_000, 1)]
    assert torch.equal(join_sounds(parts[:1], OVERLAP), parts[0])
    assert torch.equal(join_sounds(parts, 0), torch.cat(parts))


@pytest.mark.parametrize(
    ("parts", "overlap", "message"),
    [
        ([torch.zeros(50), torch.zeros(10)], 10, r"Part 2 .* \(10,\)"),
        ([torch.zeros(9), torch.zeros(50)], 10, r"Part 1 .* \(9,\)"),
    ],
)
def test_what_cannot_be_joined_is_refused(parts, overlap, message):
    with pytest.raises(ValueError, match=message):
        join_sounds(parts, overlap)


@pytest.mark.parametrize(("length", "ramp"), [(250, 40), (10, 10), (5, 1), (5, 0)])
def test_the_ramp_keeps_all_but_the_end_and_rises_smoothly_there(length, ramp):
    mask = trailing_ramp(length, ramp)
    assert len(mask) == length
    assert (mask[: length - ramp] == 0).all()
    rising = mask[length - ramp :]
    assert ((rising > 0) & (rising < 1)).all()
    assert (rising.diff() > 0).all()
    torch.testing.assert_close(rising + rising.flip(0), torch.ones(ramp))
    if ramp > 4:
        edges = torch.cat([torch.zeros(1), rising, torch.ones(1)]).diff()
        assert edges.max() < 1.7 / ramp
        assert edges[0] < edges.max() / 3


def joined(parts, overlap):
    return torch.stack(list(join_frames(parts, overlap)))


def test_shared_frames_turn_from_one_segment_into_the_next_and_the_seam_after_them_is_softened():
    first, second = torch.zeros(6, 1, 1, 3), torch.ones(5, 1, 1, 3)
    assert joined([first, second], 3)[:, 0, 0, 0].tolist() == [0, 0, 0, 0.25, 0.5, 0.8125, 0.9375, 1]


def test_frames_that_agree_where_they_are_shared_are_not_changed_but_at_the_seams():
    whole = torch.rand(20, 2, 2, 3, generator=torch.Generator().manual_seed(0))
    found = joined([whole[:9], whole[5:15], whole[11:]], 4)
    others = [frame for frame in range(20) if frame not in (8, 9, 14, 15)]
    torch.testing.assert_close(found[others], whole[others])


@pytest.mark.parametrize("overlap", [0, 3])
def test_at_a_seam_the_picture_jumps_half_as_far_and_other_frames_stay(overlap):
    frames = torch.rand(12, 2, 2, 3, generator=torch.Generator().manual_seed(0))
    soft = joined([frames[:6], frames[6 - overlap :]], overlap)
    torch.testing.assert_close(soft[6] - soft[5], (frames[6] - frames[5]) / 2)
    torch.testing.assert_close(soft[:5], frames[:5])
    assert torch.equal(soft[7:], frames[7:])


def test_segments_are_read_one_after_the_other():
    """A frame is handed on before the segment after the next is made."""
    made = []

    def parts():
        for number in range(3):
            made.append(number)
            yield torch.full((6, 1, 1, 3), float(number))

    frames = join_frames(parts(), 2)
    next(frames)
    assert made == [0]
    for _ in range(4):
        next(frames)
    assert made == [0, 1]


def test_a_segment_that_adds_no_frame_is_refused():
    with pytest.raises(ValueError, match="Part 2"):
        joined([torch.zeros(6, 1, 1, 3), torch.zeros(3, 1, 1, 3)], 3)


def test_a_segment_takes_its_level_from_all_that_it_shares_and_fades_only_at_the_end():
    """A word that begins in the fade says nothing of the level of what is shared."""
    shared = noise(12_000)
    before, after = torch.cat([noise(9_000, 1), shared]), torch.cat([0.5 * shared, noise(30_000, 2)])
    joined = join_sounds([before, after], len(shared), fade=1_000)
    assert torch.equal(joined[: len(before) - 1_000], before[:-1_000])
    assert rms_db(joined[len(before) : len(before) + 500]) == pytest.approx(rms_db(after[12_000:12_500]) + 6, abs=0.5)


def test_a_pause_says_nothing_of_the_level():
    pause = noise(4_000, level=0.003)
    after = torch.cat([pause[:3_000], noise(9_000, 2)])
    joined = join_sounds([torch.cat([noise(4_000, 1), pause]), after], len(pause))
    assert rms_db(joined[8_000:9_000]) == pytest.approx(rms_db(after[4_000:5_000]), abs=0.1)


def test_a_change_of_colours_in_the_kept_frames_is_taken_off_the_whole_segment():
    generator = torch.Generator().manual_seed(0)
    true = torch.randint(60, 190, (12, 40, 56, 3), generator=generator, dtype=torch.uint8)
    tint = torch.linspace(-20, 20, 56)[:, None].expand(40, 56, 3)
    coded = (true + tint).round().to(torch.uint8)
    found = with_kept_look(coded, true[:5])
    assert (found.float() - true.float()).abs().mean() < 3
    assert (coded.float() - true.float()).abs().mean() > 9
    assert torch.equal(with_kept_look(true, true[:5]), true)


def checkered(frames, levels=20):
    """The same pictures with a check of +-20 levels."""
    rows, columns = torch.arange(frames.shape[1])[:, None], torch.arange(frames.shape[2])
    return (frames + levels * (2 * ((rows + columns) % 2) - 1)[..., None]).to(torch.uint8)


def test_most_of_the_fine_detail_that_the_kept_frames_lost_comes_back_where_nothing_moves():
    frames = torch.full((12, 64, 64, 3), 128, dtype=torch.uint8)
    moving = torch.randint(20, 236, (12, 64, 24, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    frames[:, :, 40:] = moving
    found = with_kept_look(frames, checkered(frames[:5]))
    assert torch.equal(found[:, :, :36], checkered(frames, 15)[:, :, :36])
    assert torch.equal(found[:, :, 44:], frames[:, :, 44:])


def test_a_picture_that_moves_on_after_the_kept_frames_takes_none_of_their_detail():
    frames = torch.full((12, 64, 64, 3), 128, dtype=torch.uint8)
    frames[5:, :, :32] = 200
    found = with_kept_look(frames, checkered(frames[:5]))
    assert torch.equal(found[5:, :, :28], frames[5:, :, :28])
    assert torch.equal(found[5:, :, 36:], checkered(frames, 15)[5:, :, 36:])


def test_grain_of_the_codec_does_not_pile_up_over_many_segments():
    generator = torch.Generator().manual_seed(0)
    kept = torch.full((9, 32, 32, 3), 128, dtype=torch.uint8)
    for _ in range(20):
        own, new = (128 + torch.randint(-3, 4, (1, 32, 32, 1), generator=generator) for _ in range(2))
        frames = torch.cat([own.expand(9, -1, -1, 3), new.expand(9, -1, -1, 3)]).to(torch.uint8)
        kept = with_kept_look(frames, kept)[9:]
    assert kept.float().std() < 6
