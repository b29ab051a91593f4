"""Which sound a video latent hears and which video a sound token sees, by the model's description."""

from dataclasses import replace

import pytest
import torch

from tests import oracle
from uniavgen_core.config import PAPER, RELEASE, Alignment
from uniavgen_core.model.alignment import audio_windows, context_groups, frame_positions, interpolate, latent_weights
from uniavgen_core.shapes import video_frames_of

CLIPS = [(506, 21), (253, 11), (101, 5), (40, 3), (81, 21), (26, 2)]
TEMPORAL = replace(RELEASE, a2v_alignment=Alignment.TEMPORAL, v2a_alignment=Alignment.TEMPORAL)
GLOBAL = replace(RELEASE, a2v_alignment=Alignment.GLOBAL, v2a_alignment=Alignment.GLOBAL)


def test_windows_of_a_five_second_clip_are_those_of_the_description():
    windows = audio_windows(506, 21, RELEASE).index
    assert list(windows[0]) == [0] * 37 + list(range(14))
    assert list(windows[1]) == [0] * 6 + list(range(45))
    assert list(windows[2]) == list(range(19, 70))
    for latent in range(3, 20):
        assert windows[latent][0] == 19 + 25 * (latent - 2)
    assert list(windows[20]) == [*range(469, 506), *[505] * 14]


@pytest.mark.parametrize(("tokens", "latents"), [*CLIPS, (187, 8), (333, 14), (100, 6), (7, 3), (6, 1)])
@pytest.mark.parametrize("half", [0, 1, 2, 4])
def test_tables_are_the_naive_ones(tokens, latents, half):
    variant = replace(RELEASE, half_window_frames=half)
    windows = audio_windows(tokens, latents, variant).index
    assert [list(window) for window in windows] == oracle.audio_windows(tokens, latents, half)
    for token, weights in enumerate(latent_weights(tokens, latents, variant)):
        naive = {}
        for latent, weight in oracle.attended_latents(token, tokens, latents, variant):
            naive[latent] = naive.get(latent, 0.0) + weight
        assert weights == pytest.approx({latent: weight for latent, weight in naive.items() if weight})


@pytest.mark.parametrize(("tokens", "latents"), CLIPS)
@pytest.mark.parametrize("half", [0, 1, 2, 4])
def test_windows_are_equally_long_and_cover_their_latent_and_its_surroundings(tokens, latents, half):
    windows = audio_windows(tokens, latents, replace(RELEASE, half_window_frames=half)).index
    assert len({len(window) for window in windows}) == 1
    ratio = tokens / video_frames_of(latents)
    for latent, window in enumerate(windows):
        assert list(window) == sorted(window)
        first = max(0, 4 * latent - 3)
        own = {j for j in range(tokens) if first * ratio <= j < (4 * latent + 1) * ratio}
        wide = {j for j in own if j >= ratio or latent}  # the release hears little past the first frame
        assert wide <= set(window)


@pytest.mark.parametrize(("tokens", "latents"), CLIPS)
def test_a_sound_token_sees_one_latent_or_two_neighbours_never_earlier_than_the_token_before(tokens, latents):
    before = 0.0
    for weights in latent_weights(tokens, latents, RELEASE):
        assert max(weights) - min(weights) <= 1
        assert all(weight > 0 for weight in weights.values())
        centre = sum(latent * weight for latent, weight in weights.items()) / sum(weights.values())
        assert centre >= before - 1e-6
        before = centre
    assert before == latents - 1


def test_only_139_of_506_tokens_mix_two_latents():
    assert sum(len(weights) == 2 for weights in latent_weights(506, 21, RELEASE)) == 139


def test_bfloat16_positions_start_the_doubled_tail_one_token_early():
    for rounded, start in ((False, 500), (True, 499)):
        weights = latent_weights(506, 21, replace(RELEASE, bfloat16_positions=rounded))
        doubled = [token for token, seen in enumerate(weights) if sum(seen.values()) > 1.5]
        assert doubled == list(range(start, 506))


@pytest.mark.parametrize(("tokens", "latents"), CLIPS)
def test_weights_add_up_to_one_but_for_the_released_tail_of_the_last_frame(tokens, latents):
    last = (video_frames_of(latents) - 1) * tokens / video_frames_of(latents)
    for token, weights in enumerate(latent_weights(tokens, latents, RELEASE)):
        assert sum(weights.values()) == pytest.approx(2.0 if token >= last else 1.0, abs=1e-5)
    for variant in (replace(RELEASE, doubled_tail=False), PAPER, TEMPORAL):
        for weights in latent_weights(tokens, latents, variant):
            assert sum(weights.values()) == pytest.approx(1.0, abs=1e-5)


def test_sound_between_two_places_sees_both_by_nearness():
    low, high, low_weight, high_weight = interpolate(torch.tensor([0.0, 0.25, 1.5, 2.0]), 3)
    assert (low, high) == ([0, 0, 1, 2], [1, 1, 2, 2])
    assert low_weight == [1.0, 0.75, 0.5, 1.0]
    assert high_weight == [0.0, 0.25, 0.5, 1.0]


def test_the_papers_ramp_lasts_a_whole_latent():
    ramp = latent_weights(40, 4, replace(PAPER, doubled_tail=True))
    assert ramp[5] == pytest.approx({0: 0.5, 1: 0.5})
    assert ramp[12] == pytest.approx({1: 0.8, 2: 0.2}, abs=1e-6)
    assert sum(len(weights) == 2 for weights in ramp) == 27


def test_the_released_ramp_lasts_one_frame_before_the_next_latent():
    ramp = latent_weights(130, 4, RELEASE)  # 13 frames, ten tokens each; latents start at frames 0, 1, 5, 9
    assert ramp[5] == pytest.approx({0: 0.5, 1: 0.5})
    assert all(ramp[token] == {1: 1.0} for token in range(10, 41))
    assert ramp[45] == pytest.approx({1: 0.5, 2: 0.5})


def test_temporal_alignment_is_the_same_span_in_both_directions():
    windows = audio_windows(130, 4, TEMPORAL)
    assert [sorted(set(window))[-40:] for window in windows.index[1:]] == [
        list(range(10, 50)), list(range(50, 90)), list(range(90, 130))
    ]  # fmt: skip
    assert set(range(10)) <= set(windows.index[0])
    seen = latent_weights(130, 4, TEMPORAL)
    assert seen == [{0: 1.0}] * 10 + [{1: 1.0}] * 40 + [{2: 1.0}] * 40 + [{3: 1.0}] * 40


def test_global_alignment_hears_everything_and_says_when():
    windows = audio_windows(130, 4, GLOBAL)
    assert windows.index == (tuple(range(130)),) * 4
    assert windows.query_times == (5.0, 30.0, 70.0, 110.0)
    assert windows.key_times == tuple(map(float, range(130)))


def test_each_direction_has_an_alignment_of_its_own():
    hearing = replace(RELEASE, a2v_alignment=Alignment.TEMPORAL)
    assert audio_windows(130, 4, hearing) == audio_windows(130, 4, TEMPORAL)
    assert latent_weights(130, 4, hearing) == latent_weights(130, 4, RELEASE)
    seeing = replace(RELEASE, v2a_alignment=Alignment.TEMPORAL)
    assert audio_windows(130, 4, seeing) == audio_windows(130, 4, RELEASE)
    assert latent_weights(130, 4, seeing) == latent_weights(130, 4, TEMPORAL)


@pytest.mark.parametrize("variant", [RELEASE, PAPER, TEMPORAL])
@pytest.mark.parametrize(("tokens", "latents"), CLIPS)
def test_groups_part_the_tokens_by_what_they_see(tokens, latents, variant):
    groups = context_groups(tokens, latents, variant)
    assert sorted(token for _, seeing in groups for token in seeing) == list(range(tokens))
    assert len({mix for mix, _ in groups}) == len(groups)
    weights = latent_weights(tokens, latents, variant)
    for mix, seeing in groups:
        assert all(weights[token] == dict(mix) for token in seeing)


def test_positions_do_not_follow_the_default_device():
    with torch.device("meta"):
        assert frame_positions(3, 1, RELEASE).device.type == "cpu"
        assert len(latent_weights(29, 3, PAPER)) == 29
