"""The user's own material in the result: untouched where kept, joined without a jump where not."""

from math import inf, pi

import pytest
import torch

from tests.sounds import gaps, sample_mask
from uniavgen_core.media.audio.loudness import CEILING
from uniavgen_core.media.audio.sound import Sound
from uniavgen_core.media.codec_error import CARRY_SECONDS
from uniavgen_core.media.restore import Source, restore_frames, restore_sound
from uniavgen_core.media.time_spans import EVERYTHING, NOTHING, Spans, parse_spans
from uniavgen_core.media.video.frames import resize

FADE = 0.015


def noise(*shape, seed=0, level=0.1):
    return level * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tone(hertz, sample_rate, seconds, level=0.2):
    steps = torch.arange(round(seconds * sample_rate), dtype=torch.float64) / sample_rate
    return level * torch.sin(2 * pi * hertz * steps).float()


def own(seconds=3.0, sample_rate=44_100, channels=2):
    return Sound(noise(channels, round(seconds * sample_rate), seed=1), sample_rate)


def made(seconds=3.0, seed=2, level=0.1):
    return Sound(noise(1, round(seconds * 24_000), seed=seed, level=level), 24_000)


def rms(waveform):
    return waveform.square().mean().sqrt().item()


def pictures(count, height=4, width=6, seed=0):
    return torch.rand(count, height, width, 3, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sample_rate", [8_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("spans", ["0-1", "0.5-1.25, 2-2.2", "1-", "0-0.001, 0.0015-2.9999"])
def test_kept_sound_is_the_sources_bit_for_bit_and_the_rest_is_not(sample_rate, spans):
    source = Source(sound=own(sample_rate=sample_rate), audio_kept=parse_spans(spans))
    result = restore_sound(made(), source)
    kept = sample_mask(source.audio_kept, source.sound.samples, sample_rate)
    assert result.sample_rate == sample_rate
    assert result.waveform.shape == source.sound.waveform.shape
    assert torch.equal(result.waveform[:, kept], source.sound.waveform[:, kept])
    assert (result.waveform != source.sound.waveform)[:, ~kept].float().mean() > 0.99


def test_a_wholly_kept_sound_comes_back_whole_however_long_the_clip():
    for seconds in (1.0, 3.0, 3.02):
        source = Source(sound=own(3.01), audio_kept=EVERYTHING, ends_with_source=True)
        assert torch.equal(restore_sound(made(seconds), source).waveform, source.sound.waveform)


def test_what_is_kept_lasts_longer_than_a_short_clip():
    source = Source(sound=own(3.0), audio_kept=parse_spans("2-2.5"))
    result = restore_sound(made(1.0), source)
    assert result.samples == round(2.5 * 44_100)
    assert torch.equal(result.waveform[:, 44_100:], source.sound.waveform[:, 44_100 : result.samples])


def test_a_clip_goes_on_after_a_given_sound_has_ended():
    source = Source(sound=own(1.0), audio_kept=EVERYTHING)
    result = restore_sound(made(3.0), source)
    assert result.samples == 3 * 44_100
    assert torch.equal(result.waveform[:, :44_100], source.sound.waveform)
    assert rms(result.waveform[:, 44_100:]) > 0.05


@pytest.mark.parametrize("sample_rate", [24_000, 44_100])
def test_generated_sound_is_in_its_own_place_and_on_all_channels(sample_rate):
    """A tone with the same phase in source and clip must run through the border without a break."""
    whole = tone(300, sample_rate, 3.0)
    for lead in (0.0, 0.5):
        generated = Sound(tone(300, 24_000, 3.0)[None, round(lead * 24_000) :], 24_000)
        source = Source(sound=Sound(whole.repeat(2, 1), sample_rate), audio_kept=parse_spans("0-1"), lead_seconds=lead)
        result = restore_sound(generated, source).waveform
        fade = round((1 + FADE) * sample_rate)
        assert result.shape == (2, len(whole))
        assert (result[:, fade:-500] - whole[fade:-500]).abs().max() < 3e-3


@pytest.mark.parametrize("spans", ["0-1", "2-", "0-1, 2-", "0-0.8, 1.4-1.6, 2.2-"])
@pytest.mark.parametrize("factor", [0.05, 1.0, 10.0])
def test_generated_sound_takes_the_level_of_what_is_kept_beside_it(spans, factor):
    """The clip is the source at another level, as a vocoder that was fed a rescaled sound gives it."""
    sound = own(sample_rate=24_000, channels=1)
    source = Source(sound=sound, audio_kept=parse_spans(spans))
    result = restore_sound(Sound(factor * sound.waveform, 24_000), source).waveform
    fades = torch.ones(72_000, dtype=torch.bool)
    for start, stop in gaps(source.audio_kept, 3.0):
        for place in (start, stop):
            fades[max(0, round((place - FADE) * 24_000) - 2) : round((place + FADE) * 24_000) + 2] = False
    torch.testing.assert_close(result[:, fades], sound.waveform[:, fades], rtol=0.02, atol=1e-4)


def test_the_level_moves_from_that_of_one_side_to_that_of_the_other():
    sound = own(sample_rate=24_000, channels=1)
    generated = sound.waveform.clone()
    generated[:, 36_000:] *= 4
    source = Source(sound=sound, audio_kept=parse_spans("0-1, 2-"))
    result = restore_sound(Sound(generated, 24_000), source).waveform
    assert rms(result[:, 25_000:27_000]) == pytest.approx(0.1, rel=0.1)
    assert rms(result[:, 46_500:47_500]) == pytest.approx(0.1, rel=0.1)


def test_the_level_is_that_of_the_second_beside_the_gap():
    sound = own(sample_rate=24_000, channels=1)
    generated = sound.waveform.clone()
    generated[:, :24_000] *= 8
    source = Source(sound=sound, audio_kept=parse_spans("0-2"))
    result = restore_sound(Sound(generated, 24_000), source).waveform
    torch.testing.assert_close(result[:, 49_000:], sound.waveform[:, 49_000:], rtol=0.01, atol=1e-4)


def test_the_level_is_not_taken_from_where_the_clip_has_ended():
    sound = own(sample_rate=24_000, channels=1)
    source = Source(sound=sound, audio_kept=parse_spans("0-1, 2-"))
    result = restore_sound(Sound(sound.waveform[:, :50_400], 24_000), source).waveform
    torch.testing.assert_close(result[:, 25_000:47_000], sound.waveform[:, 25_000:47_000], rtol=0.01, atol=1e-4)


def test_a_clip_before_what_is_kept_is_matched_by_its_end():
    generated = noise(1, 48_000, seed=2, level=0.2)
    generated[:, :24_000] /= 3
    result = restore_sound(Sound(generated, 24_000), Source(sound=own(3.0, 24_000, 1), audio_kept=parse_spans("2-")))
    assert rms(result.waveform[:, 25_000:47_000]) == pytest.approx(0.1, rel=0.05)


def test_a_level_is_not_taken_from_what_is_not_kept():
    sound = own(sample_rate=24_000, channels=1)
    bleep = sound.waveform.clone()
    bleep[:, 12_000:24_000] = 5
    bleep[:, 28_800:48_000] = 5
    source = Source(sound=Sound(bleep, 24_000), audio_kept=parse_spans("0-0.5, 1-1.2, 2-"))
    result = restore_sound(sound, source).waveform
    assert result[:, 12_000:24_000].abs().max() < 1
    torch.testing.assert_close(result[:, 30_000:47_000], sound.waveform[:, 30_000:47_000], rtol=0.01, atol=1e-4)


def test_a_clip_that_does_not_repeat_what_is_kept_is_matched_within_12_db():
    source = Source(sound=own(1.0, 24_000, 1), audio_kept=EVERYTHING, lead_seconds=1.0)
    for level, expected in ((0.03, 0.1), (0.3, 0.1), (0.01, 0.04), (0.6, 0.15)):
        result = restore_sound(made(2.0, level=level), source).waveform
        assert rms(result[:, 26_000:]) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("spans", ["0-1", "0-1, 2-"])
def test_beside_kept_silence_the_level_stays(spans):
    source = Source(sound=Sound(torch.zeros(1, 72_000), 24_000), audio_kept=parse_spans(spans))
    result = restore_sound(made(), source).waveform
    assert rms(result[:, 26_000:46_000]) == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("phase", [0, 1_000, 2_500])
def test_no_border_clicks_or_dips(phase):
    smooth = tone(220.3, 48_000, 3.0) + tone(330.4, 48_000, 3.0)
    other = tone(247, 24_000, 4.0)[phase : phase + 72_000] + tone(370, 24_000, 4.0)[phase : phase + 72_000]
    source = Source(sound=Sound(smooth[None], 48_000), audio_kept=parse_spans("0-1.0031, 2.0017-"))
    result = restore_sound(Sound(other[None], 24_000), source).waveform[0]
    steps = result.diff().abs()
    assert steps.max() < 1.5 * smooth.diff().abs().max()
    for border in (48_149, 96_082):
        assert rms(result[border - 700 : border + 700]) > 0.6 * rms(smooth)


def test_the_loudness_of_noise_stays_the_same_through_the_borders():
    spans = Spans(tuple((place / 10, place / 10 + 0.05) for place in range(30)))
    source = Source(sound=own(3.0, 24_000, 1), audio_kept=spans)
    result = restore_sound(made(3.0), source).waveform
    fades = torch.cat([result[:, round(stop * 24_000) : round((stop + FADE) * 24_000)] for _, stop in spans.pairs], 1)
    assert rms(fades) == pytest.approx(0.1, rel=0.03)


def test_a_source_without_sound_leaves_the_generated_one_alone():
    generated = made()
    assert torch.equal(restore_sound(generated, Source()).waveform, generated.waveform)
    later = restore_sound(generated, Source(frames=pictures(10), lead_seconds=0.5)).waveform
    assert torch.equal(later, torch.cat([torch.zeros(1, 12_000), generated.waveform], 1))
    dubbed = restore_sound(generated, Source(frames=pictures(75), fps=30, ends_with_source=True)).waveform
    assert torch.equal(dubbed, generated.waveform[:, :60_000])


def test_continued_sound_is_the_whole_source_and_then_the_clip():
    source = Source(sound=own(2.0), audio_kept=EVERYTHING, lead_seconds=1.5)
    result = restore_sound(made(2.0), source)
    assert result.samples == round(3.5 * 44_100)
    assert torch.equal(result.waveform[:, :88_200], source.sound.waveform)
    assert rms(result.waveform[:, 88_200:]) == pytest.approx(0.1, rel=0.1)


def test_sound_before_the_clip_is_kept_though_no_span_names_it():
    source = Source(sound=own(2.0), audio_kept=NOTHING, lead_seconds=1.5)
    result = restore_sound(made(2.0), source).waveform
    assert torch.equal(result[:, :66_150], source.sound.waveform[:, :66_150])


def test_restoring_changes_neither_input():
    source = Source(sound=own(), frames=pictures(48), audio_kept=parse_spans("0-1"), video_kept=parse_spans("0-1"))
    generated, frames = made(), pictures(49, seed=1)
    before = [x.clone() for x in (source.sound.waveform, source.frames, generated.waveform, frames)]
    restore_sound(generated, source).waveform.zero_()
    restore_frames(frames, source)[0].zero_()
    for was, now in zip(before, (source.sound.waveform, source.frames, generated.waveform, frames), strict=True):
        assert torch.equal(was, now)


@pytest.mark.parametrize("fps", [12, 16, 23.976, 25, 30, 60])
@pytest.mark.parametrize("spans", ["0-1", "0.5-0.75, 2.2-2.4", "1-"])
def test_kept_frames_are_the_sources_and_others_away_from_them_the_nearest_generated_ones(fps, spans):
    frames, generated = pictures(round(3 * fps)), pictures(49, seed=1)
    source = Source(frames=frames, fps=fps, video_kept=parse_spans(spans), ends_with_source=True)
    result, rate = restore_frames(generated, source)
    kept = source.video_kept.frame_mask(len(frames), fps).tolist()
    assert rate == fps
    assert len(result) == len(frames)
    carried = round(CARRY_SECONDS * fps)
    away = [k for k in range(len(kept)) if not any(kept[max(0, k - carried) : k + carried + 1])]
    assert len(away) > 0.3 * fps
    for k in away:
        nearest = min(range(49), key=lambda g: (round(abs(g / 16 - k / fps), 9), -g))
        assert torch.equal(result[k], generated[nearest])
    assert torch.equal(result[kept], frames[kept])


def test_dubbed_frames_are_the_very_same():
    for fps, generated in ((30, 49), (16, 5), (60, 200)):
        frames = pictures(90)
        found, rate = restore_frames(
            pictures(generated), Source(frames=frames, fps=fps, video_kept=EVERYTHING, ends_with_source=True)
        )
        assert found is frames
        assert rate == fps


def test_continued_frames_are_the_whole_source_and_then_the_clip():
    frames, generated = pictures(90), pictures(49, seed=1)
    lead = 3 - 17 / 16
    source = Source(frames=frames, fps=30, video_kept=Spans(((0, inf),)), lead_seconds=lead)
    result = restore_frames(generated, source)[0]
    assert torch.equal(result[:90], frames)
    assert len(result) == 150  # 3 s and the 32 frames, 2 s, that follow the 17 repeated ones
    assert torch.equal(result[105], generated[25])  # 0.5 s later, where nothing of the source's look is carried
    assert torch.equal(result[-1], generated[48])
    assert torch.equal(result[120], generated[33])


def test_frames_before_and_after_the_clip_are_kept_though_no_span_names_them():
    frames = pictures(64)
    source = Source(frames=frames, fps=16, lead_seconds=1.0, ends_with_source=True)
    generated = pictures(17, seed=1)
    result = restore_frames(generated, source)[0]
    assert torch.equal(result, torch.cat([frames[:16], generated, frames[33:]]))


def test_kept_frames_after_a_short_clip_are_in_the_result():
    frames, generated = pictures(64), pictures(17, seed=1)
    result = restore_frames(generated, Source(frames=frames, fps=16, video_kept=parse_spans("2-3")))[0]
    assert torch.equal(result, torch.cat([generated, frames[17:48]]))


def test_a_pause_between_source_and_clip_shows_the_clips_first_frame():
    frames, generated = pictures(16), pictures(17, seed=1)
    result = restore_frames(generated, Source(frames=frames, fps=16, lead_seconds=1.5))[0]
    assert torch.equal(result, torch.cat([frames, generated[:1].expand(8, -1, -1, -1), generated]))


def test_generated_frames_get_the_sources_size():
    frames, generated = pictures(32, 10, 14), pictures(33, 8, 8, seed=1)
    result = restore_frames(generated, Source(frames=frames, fps=16, video_kept=parse_spans("0-1")))[0]
    assert torch.equal(result[:16], frames[:16])
    assert torch.equal(result[24:], resize(generated[24:], 14, 10))


@pytest.mark.parametrize("fps", [16, 25, 30])
def test_around_a_region_every_frame_is_the_sources_and_inside_the_nearest_generated_one(fps):
    frames, generated = pictures(2 * fps, 40, 48), pictures(33, 20, 24, seed=1)
    region = torch.zeros(2 * fps, 40, 48)
    region[:, 10:30, 8:40] = 1
    restored, rate = restore_frames(generated, Source(frames, fps, region=region, ends_with_source=True))
    assert rate == fps
    assert restored.shape == frames.shape
    assert torch.equal(restored[region == 0], frames[region == 0])
    nearest = restore_frames(generated, Source(frames, fps, ends_with_source=True))[0]
    inside = (slice(None), slice(10, 30), slice(8, 40))
    # The join shifts colours smoothly, so the patterns inside agree but for a level of each place.
    assert torch.corrcoef(torch.stack([x[inside].flatten() for x in (restored, nearest)]))[0, 1] > 0.9


def test_without_frames_the_generated_ones_come_at_16_fps():
    generated = pictures(49)
    found, fps = restore_frames(generated, Source())
    assert found is generated
    assert fps == 16
    driven = Source(sound=own(2.51), audio_kept=EVERYTHING, ends_with_source=True)
    assert torch.equal(restore_frames(generated, driven)[0], generated[:41])


@pytest.mark.parametrize("lead", [0.0, 1.5])
def test_loud_generated_sound_stays_under_the_ceiling_at_its_level_and_given_sound_is_untouched(lead):
    """The clip repeats what is kept at the same power, with peaks far above full scale."""
    own = Sound(noise(2, 48_000, seed=1, level=0.25).clamp(-1, 1), 24_000)
    peaky = noise(1, 72_000, seed=2, level=0.2)
    peaky[:, ::500] = 2.5
    source = Source(sound=own, audio_kept=EVERYTHING, lead_seconds=lead)
    result = restore_sound(Sound(peaky, 24_000), source).waveform
    assert torch.equal(result[:, :48_000], own.waveform)
    assert result[:, 48_000 + 360 :].abs().max() <= CEILING * 1.00001
    assert result[:, 48_000:].abs().max() <= own.waveform.abs().max()
    assert result[:, 48_000:48_360].abs().mean() > 0.05


def test_a_fade_from_sound_at_full_scale_does_not_exceed_it():
    whole = tone(301, 24_000, 2.0, level=1.0)[None]
    generated = Sound(torch.cat([whole[:, :24_000], 0.9 * whole[:, :24_000].flip(1)], 1), 24_000)
    result = restore_sound(generated, Source(sound=Sound(whole[:, :24_000], 24_000), audio_kept=EVERYTHING)).waveform
    assert result.abs().max() <= 1


@pytest.mark.parametrize("source", [Source(), Source(frames=pictures(40)), Source(sound=own(3.0, 24_000, 1))])
def test_where_nothing_is_kept_a_loud_clip_gets_one_gain(source):
    loud = made(level=0.5)
    result = restore_sound(loud, source).waveform
    torch.testing.assert_close(result, loud.waveform[:, : result.shape[1]] * (CEILING / loud.waveform.abs().max()))


def test_a_clip_that_shows_a_part_of_the_picture_is_put_into_that_part():
    frames, generated = pictures(20, 40, 60), pictures(21, 20, 20, seed=1)
    region = torch.zeros(20, 40, 60)
    region[:, 15:25, 30:40] = 1
    view = (25, 10, 45, 30)
    source = Source(frames, 16, region=region, view=view, ends_with_source=True)
    restored, _ = restore_frames(generated, source)
    assert torch.equal(restored[region == 0], frames[region == 0])
    inside = (slice(None), slice(15, 25), slice(30, 40))
    shown = generated[:20, 5:15, 5:15]
    assert torch.corrcoef(torch.stack([restored[inside].flatten(), shown.flatten()]))[0, 1] > 0.9
    whole, _ = restore_frames(generated, Source(frames, 16, view=view, ends_with_source=True))
    assert torch.equal(whole[:, 10:30, 25:45], generated[:20])
