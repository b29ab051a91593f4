"""Long Video dubs a video of any length: its pictures stay, and the script is what is said in it."""

from fractions import Fraction

import av
import pytest
import torch
from comfy_api.latest import InputImpl

from tests.nodes.studio import video_of
from tests.nodes.test_long import count_samples, folder, long_sound, long_video, unsampled  # noqa: F401 - a fixture
from tests.nodes.video_files import packets_of, write_file
from tests.sounds import rms_db

pytestmark = pytest.mark.usefixtures("quick_sound")

WORDS = "hello nice fish red bird yes nine star cloud"


def footage(studio, repeats=3, sound=True, rate=24_000):
    """Frames of toons one after the other at 16 fps, 2.06 s each, and their sound."""
    clips = ("toon_7", "toon_3", "toon_8")[:repeats]
    frames = torch.cat([studio.example(clip)[0].get_components().images for clip in clips])
    return frames, long_sound(studio, rate, clips) if sound else None


def video_file(path, frames, audio, fps=16):
    """VIDEO of a file in which pictures and sound are encoded."""
    video_of(frames, Fraction(fps), audio).save_to(str(path))
    return InputImpl.VideoFromFile(str(path))


@pytest.fixture
def filmed(studio, tmp_path):
    """A video file of 6.2 s with speech."""
    frames, sound = footage(studio)
    return video_file(tmp_path / "filmed.mp4", frames, sound)


def test_the_saved_film_has_the_users_own_packets_and_a_sound_as_long_as_its_pictures(studio, filmed, tmp_path):
    video, segments = long_video(studio, WORDS, video=filmed).args
    saved = tmp_path / "saved.mp4"
    video.save_to(str(saved), metadata={"prompt": {"1": {}}})
    assert packets_of(saved) == packets_of(tmp_path / "filmed.mp4")
    parts = video.get_components()
    assert torch.equal(parts.images, filmed.get_components().images)
    assert parts.audio["waveform"].shape[-1] == len(parts.images) * 1500
    assert rms_db(parts.audio["waveform"]) > -40
    assert len(segments.splitlines()) >= 4
    with av.open(str(saved)) as file:
        assert file.metadata["prompt"] == '{"1": {}}'
        assert file.metadata["digital_source_type"].endswith("compositeWithTrainedAlgorithmicMedia")
        assert file.streams.audio[0].duration * file.streams.audio[0].time_base == pytest.approx(99 / 16, abs=0.1)


def test_every_segment_sees_its_own_part_of_the_video_and_goes_on_from_the_sound_before(studio, filmed, monkeypatch):
    latents = []
    monkeypatch.setattr(
        studio.nodes.long_video, "run_sampler", lambda _g, _s, _t, latent, *_: latents.append(latent) or latent
    )
    long_video(studio, WORDS, video=filmed)
    pictures = filmed.get_components().images
    kept_from = 0
    for latent in latents:
        video, audio = latent["noise_mask"].unbind()
        assert not video.any()
        kept_from = max(kept_from, int((audio == 0).sum()))
    assert kept_from > 40
    assert (latents[0]["noise_mask"].unbind()[1] == 1).all()
    codec, encode = studio.video_vae, studio.nodes.host.media.vaes.encode_pictures
    torch.testing.assert_close(latents[0]["samples"].unbind()[0], encode(codec, pictures[:33], (64, 64), "stretch"))


def test_words_are_said_where_someone_speaks_and_each_of_them_once(studio, filmed):
    dubbed = studio.nodes.host.long_video.dubbing_segments
    spans = studio.nodes.host.media.video_spans.VideoSpans.of(filmed, "the video")[0]
    settings = studio.nodes.host.long_video.plans.SegmentSettings(2.0625, 0.5625, False, 0)
    text = studio.model.model.diffusion_model.config.text
    plan = dubbed.plan_dubbing(spans, WORDS, settings, text)
    assert " ".join(filter(None, plan.texts)) == WORDS
    frames, _ = footage(studio)
    silent, _ = studio.nodes.host.media.video_spans.VideoSpans.of(video_of(frames, Fraction(16)), "the video")
    evenly = dubbed.plan_dubbing(silent, WORDS, settings, text)
    assert " ".join(filter(None, evenly.texts)) == WORDS
    assert all(evenly.texts)


def test_words_that_a_segment_cannot_hold_are_said_in_the_next_and_the_last_has_all_that_are_left(studio, filmed):
    dubbed, plans = studio.nodes.host.long_video.dubbing_segments, studio.nodes.host.long_video.plans
    spans, _ = studio.nodes.host.media.video_spans.VideoSpans.of(filmed, "the video")
    text = studio.model.model.diffusion_model.config.text
    settings = plans.SegmentSettings(2.0625, 0.5625, False, 0)
    planned = dubbed.plan_dubbing(spans, WORDS, settings, text)
    count = 5 * len(planned.texts)
    full = dubbed.plan_dubbing(spans, " ".join(["no"] * count), settings, text)
    assert " ".join(full.texts).split() == ["no"] * count
    assert all(plans.seconds_to_say(said, text) <= 2.0625 - (0.5625 if n else 0) for n, said in enumerate(full.texts))
    crowded = dubbed.plan_dubbing(spans, " ".join(["no"] * 9 * count), settings, text)
    assert " ".join(crowded.texts).split() == ["no"] * 9 * count
    assert len(crowded.texts[-1].split()) > 5 * count


def test_a_segment_in_which_nothing_is_said_is_silent_and_not_sampled(studio, tmp_path, monkeypatch):
    frames, sound = footage(studio)
    sound["waveform"][..., 49_500:] = 0
    video = video_file(tmp_path / "pause.mp4", frames, sound)
    calls = count_samples(studio, monkeypatch)
    made, segments = long_video(studio, "hello fish", video=video).args
    assert 1 <= len(calls) < len(segments.splitlines())
    assert made.get_components().audio["waveform"][..., 80_000:].abs().max() < 1e-3


def test_the_first_segments_voice_speaks_in_all_that_follow(studio, filmed, monkeypatch):
    key, seen = studio.nodes.host.conditioning.pass_settings.REFERENCE_VOICE_KEY, []
    make_guider = studio.nodes.long_video.make_guider
    monkeypatch.setattr(
        studio.nodes.long_video,
        "make_guider",
        lambda model, positive, *rest: (seen.append(positive[0][1]), make_guider(model, positive, *rest))[1],
    )
    long_video(studio, WORDS, video=filmed)
    assert key not in seen[0]
    voices = [conditioning[key] for conditioning in seen[1:]]
    assert len(voices) >= 3
    assert all(torch.equal(voice, voices[0]) for voice in voices)


@pytest.mark.parametrize(("fps", "seconds"), [(25, 5), (30000 / 1001, 4), (8, 6)])
def test_a_video_of_another_rate_comes_back_at_that_rate(studio, tmp_path, monkeypatch, fps, seconds):
    monkeypatch.setattr(studio.nodes.long_video, "run_sampler", unsampled)
    rate = Fraction(fps).limit_denominator(1001)
    frames, sound = footage(studio)
    frames = frames.repeat(2, 1, 1, 1)[: round(seconds * fps)]
    video = video_file(tmp_path / "other.mp4", frames, sound, rate)
    made = long_video(studio, WORDS, video=video).args[0]
    made.save_to(str(tmp_path / "saved.mp4"))
    assert packets_of(tmp_path / "saved.mp4") == packets_of(tmp_path / "other.mp4")
    assert made.get_frame_rate() == pytest.approx(video.get_frame_rate())
    parts = made.get_components()
    assert abs(parts.audio["waveform"].shape[-1] / 24_000 - len(parts.images) / fps) < 1e-3


def test_a_video_that_was_made_in_the_graph_is_encoded_and_its_pictures_come_back_equal(studio, tmp_path, monkeypatch):
    monkeypatch.setattr(studio.nodes.long_video, "run_sampler", unsampled)
    frames, sound = footage(studio)
    made = long_video(studio, WORDS, video=video_of(frames, Fraction(16), sound)).args[0]
    assert torch.equal(made.get_components().images, frames)
    made.save_to(str(tmp_path / "saved.mp4"))
    saved = InputImpl.VideoFromFile(str(tmp_path / "saved.mp4")).get_components().images
    assert 10 * torch.log10(1 / (saved - frames).square().mean()) > 38


def test_frames_of_a_span_are_those_of_the_whole_video(studio, filmed):
    spans, _ = studio.nodes.host.media.video_spans.VideoSpans.of(filmed, "the video")
    whole = filmed.get_components().images
    assert len(spans) == len(whole)
    for first, stop in ((0, 1), (0, 33), (24, 57), (98, 99), (1, 99)):
        assert torch.equal(spans.own_frames(first, stop), whole[first:stop])
    assert torch.equal(torch.stack(list(spans)), whole)
    beyond = spans.at_model_rate(90, 110)
    assert torch.equal(beyond[:9], whole[90:])
    assert torch.equal(beyond[9:], whole[-1:].expand(11, -1, -1, -1))


def test_a_phones_upright_video_is_seen_upright_and_its_stream_stays_turned(studio, tmp_path, monkeypatch):
    monkeypatch.setattr(studio.nodes.long_video, "run_sampler", unsampled)
    frames, sound = footage(studio)
    path = write_file(tmp_path / "phone.mp4", frames[:, :96], Fraction(16), sound, rotate=True)
    made = long_video(studio, WORDS, video=InputImpl.VideoFromFile(str(path))).args[0]
    made.save_to(str(tmp_path / "saved.mp4"))
    assert made.get_dimensions() == (96, 128)
    assert packets_of(tmp_path / "saved.mp4") == packets_of(path)
    assert InputImpl.VideoFromFile(str(tmp_path / "saved.mp4")).get_components().images.shape[1:3] == (128, 96)


def test_a_trimmed_video_is_dubbed_where_it_was_trimmed(studio, filmed, tmp_path, monkeypatch):
    monkeypatch.setattr(studio.nodes.long_video, "run_sampler", unsampled)
    part = filmed.as_trimmed(1.0, 4.0)
    made = long_video(studio, WORDS, video=part).args[0]
    made.save_to(str(tmp_path / "saved.mp4"))
    wanted = part.get_components().images
    saved = InputImpl.VideoFromFile(str(tmp_path / "saved.mp4")).get_components().images
    assert made.get_duration() == 4.0
    assert len(saved) == len(wanted) == 64
    assert 10 * torch.log10(1 / (saved - wanted).square().mean()) > 38


def test_a_sound_and_a_video_at_once_are_refused_and_so_is_what_lasts_too_long(studio, filmed):
    node = studio.nodes.long_video.LongVideoNode
    with pytest.raises(ValueError, match="not both"):
        long_video(studio, WORDS, video=filmed, audio=long_sound(studio))
    assert "not both" in node.validate_inputs(
        {"audio": "AUDIO", "video": "VIDEO"}, script="hello", size={"size": "square"}
    )
    assert "script" in node.validate_inputs({"video": "VIDEO"}, script=" ", size={"size": "square"})
    still = video_of(torch.zeros(4, 64, 64, 3), Fraction(1, 1000))
    with pytest.raises(ValueError, match="The video lasts 67 min; at most 60 min"):
        long_video(studio, WORDS, video=still)


def test_a_script_that_is_longer_than_the_video_is_told_of(studio, filmed, monkeypatch):
    told = []
    monkeypatch.setattr(studio.nodes.long_video, "run_sampler", unsampled)
    monkeypatch.setattr(studio.nodes.long_video, "announce", told.append)
    long_video(studio, " ".join([WORDS] * 4), video=filmed)
    assert any("Shorten the script" in notice for notice in told)


def test_another_video_is_dubbed_anew_and_the_same_one_is_not(studio, filmed, tmp_path, monkeypatch):
    calls = count_samples(studio, monkeypatch)
    long_video(studio, WORDS, video=filmed)
    first = len(calls)
    long_video(studio, WORDS, video=InputImpl.VideoFromFile(str(tmp_path / "filmed.mp4")))
    assert len(calls) == first
    frames, sound = footage(studio)
    long_video(studio, WORDS, video=video_file(tmp_path / "flipped.mp4", frames.flip(2), sound))
    assert len(calls) > first
