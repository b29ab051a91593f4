"""Context windows and caches of other nodes: the sound of a window of latents, and null conditionings of their own."""

import pytest

FRAMES_PER_SECOND, MEL_PER_SECOND = 16, 100
LATENTS, MEL = 13, 306


def mel_frames_of(studio, latents):
    shapes = [(1, 48, LATENTS, 4, 4), (1, 1, MEL, 80)]
    primary, mel = studio.model.model.map_context_window_to_modalities(latents, shapes, 2)
    assert primary == latents
    return mel


@pytest.mark.parametrize("first", [1, 3, 7])
def test_a_window_has_the_mel_frames_that_sound_while_its_latents_show(studio, first):
    latents = list(range(first, first + 4))
    mel = mel_frames_of(studio, latents)
    start, stop = ((4 * latent - 3) / FRAMES_PER_SECOND * MEL_PER_SECOND for latent in (first, first + 4))
    assert mel == list(range(mel[0], mel[-1] + 1))
    assert mel[0] == pytest.approx(start, abs=1)
    assert mel[-1] + 1 == pytest.approx(stop, abs=1)


def test_the_first_latent_has_the_sound_of_one_frame_and_all_latents_have_all_sound(studio):
    assert mel_frames_of(studio, [0]) == list(range(6))
    assert mel_frames_of(studio, list(range(LATENTS))) == list(range(MEL))


def test_windows_that_follow_each_other_leave_no_sound_out_and_take_none_twice(studio):
    parts = [mel_frames_of(studio, latents) for latents in ([0, 1, 2], [3, 4, 5, 6], [7, 8, 9, 10, 11, 12])]
    assert [frame for part in parts for frame in part] == list(range(MEL))


def test_caches_can_tell_every_null_conditioning_from_every_other(studio):
    core = studio.nodes.host.sampling.guided_sampling
    negative = {"uuid": "that of the negative conditioning"}
    plan = core.GuidancePlan(core.GuidanceConfig(), 0.5)
    runs = [core.null_conditionings({}, negative, plan) for _ in range(2)]
    uuids = [half["uuid"] for halves in runs for half in halves]
    assert len(uuids) == 4
    assert len({negative["uuid"], *uuids}) == 5
