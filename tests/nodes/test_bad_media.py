"""Sounds, voices and videos that are unusual or broken: a clear message, or a conversion the user is told of."""

from fractions import Fraction

import pytest
import torch

from tests.nodes.studio import moving_frames, notices_of, speech_at, video_of

SOUND = "match_audio"


def audio_of(waveform, sample_rate=24_000):
    return {"waveform": waveform, "sample_rate": sample_rate}


def tone(seconds, sample_rate=24_000):
    return 0.5 * torch.sin(2 * torch.pi * 220 * torch.arange(round(seconds * sample_rate)) / sample_rate)[None, None]


def follow(studio, audio):
    return studio.task("audio_driven", audio=audio, length=SOUND, seconds=1.0)


def speak_as(studio, audio):
    return studio.task("reference_voice", seconds=1.0625, voice=audio, voice_transcript="hello")


BROKEN = {
    "empty": (torch.zeros(1, 1, 0), "empty"),
    "one sample": (torch.zeros(1, 1, 1), "1 sample"),
    "NaN": (torch.cat((tone(1.0), torch.full((1, 1, 9), torch.nan)), -1), "NaN at 1.000 s"),
    "not audio": (torch.zeros(5), "shape"),
    "more channels than a file holds": (tone(1.0).expand(-1, 9, -1), "9 channels"),
    "integers": (32768 * tone(1.0), "full scale is 1"),
    "endless": (1e30 * tone(1.0), "full scale is 1"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("use", [follow, speak_as])
def test_a_sound_that_cannot_be_used_is_named(studio, use, name):
    waveform, words = BROKEN[name]
    with pytest.raises(ValueError, match=words):
        use(studio, audio_of(waveform))


@pytest.mark.parametrize("waveform", [torch.zeros(1, 1, 48_000), tone(2.0), 0.1 * torch.randn(1, 1, 48_000)])
def test_a_voice_without_speech_is_refused(studio, waveform):
    with pytest.raises(ValueError, match="voice"):
        speak_as(studio, audio_of(waveform))


def test_a_silent_sound_is_followed_with_a_notice(studio):
    output = follow(studio, audio_of(torch.zeros(1, 1, 24_000)))
    assert "silent" in notices_of(output)
    assert torch.isfinite(output.args[2]["samples"].unbind()[1]).all()


def test_a_clipped_sound_is_followed_with_a_notice(studio):
    clipped = (8 * tone(1.0)).clamp(-1, 1)
    assert "clipped" in notices_of(follow(studio, audio_of(clipped)))


def test_a_sound_of_8_khz_comes_back_as_it_is_with_a_notice(studio):
    audio = speech_at(studio.example()[1], 8_000, channels=1)
    output = follow(studio, audio)
    assert "4 kHz" in notices_of(output)
    positive, negative, latent, given = output.args
    _, sound, _ = studio.decode(studio.sample(positive, negative, latent), given)
    assert torch.equal(sound["waveform"], audio["waveform"])


def test_half_an_hour_of_sound_is_cut_with_a_notice(studio):
    half_an_hour = torch.zeros(1, 2, 30 * 60 * 8_000)
    half_an_hour[..., ::7] = 0.1
    output = follow(studio, audio_of(half_an_hour, 8_000))
    assert "cut to the clip's 120.00 s" in notices_of(output)
    assert output.args[2]["samples"].unbind()[0].shape[2] == 481


def test_half_an_hour_of_a_voice_is_trimmed_with_a_notice(studio):
    audio = speech_at(studio.example()[1], 8_000)
    longer = audio["waveform"].repeat(1, 1, 30 * 60 // 2)
    assert "are used" in notices_of(speak_as(studio, audio_of(longer, 8_000)))


def test_a_users_sound_is_never_changed(studio):
    audio = speech_at(studio.example()[1], 44_100)
    before = audio["waveform"].clone()
    speak_as(studio, audio)
    follow(studio, audio)
    assert torch.equal(audio["waveform"], before)


def go_on(studio, video, result="whole_clip"):
    return studio.task("continuation", video=video, keep_seconds=0.5, seconds=0.5, result=result)


def test_a_video_of_one_frame_is_dubbed(studio):
    frames = moving_frames(2)[:1]
    positive, negative, latent, given = studio.task("dubbing", "a", video=video_of(frames, Fraction(16))).args
    images, audio, _ = studio.decode(studio.sample(positive, negative, latent), given)
    assert torch.equal(images, frames)
    assert audio["waveform"].shape[-1] == 1500


def test_a_video_of_one_frame_cannot_go_on_and_says_what_to_do(studio):
    with pytest.raises(ValueError, match=r"lasts 0\.06 s.*'Image to talking video'"):
        go_on(studio, video_of(moving_frames(2)[:1], Fraction(16)))


def test_an_odd_sized_video_comes_back_in_its_size_with_a_notice(studio):
    frames = moving_frames(17, 77, 101)
    output = studio.task("dubbing", video=video_of(frames, Fraction(16)))
    assert "101x77" in notices_of(output)
    positive, negative, latent, given = output.args
    assert torch.equal(studio.decode(studio.sample(positive, negative, latent), given)[0], frames)


def write_video(path, frames, codec="h264", pixel_format="yuv420p", fps=16):
    """Write uint8 frames to a file."""
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=fps)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixel_format
        kind = "rgba" if frames[0].shape[2] == 4 else "rgb24"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format=kind)))
        file.mux(stream.encode(None))
    return path


def loaded(path):
    from comfy_api.latest import InputImpl

    return InputImpl.VideoFromFile(str(path))


def test_an_alpha_channel_is_left_out_with_a_notice(studio, tmp_path):
    frames = (torch.rand(8, 64, 64, 4) * 255).byte().numpy()
    video = loaded(write_video(tmp_path / "alpha.mov", frames, "png", "rgba"))
    output = studio.task("dubbing", video=video)
    assert "alpha channel" in notices_of(output)
    assert output.args[3].source.frames.shape == (8, 64, 64, 3)


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    """Two thousand frames: more than two minutes."""
    grey = [torch.full((32, 32, 3), shade, dtype=torch.uint8).numpy() for shade in range(0, 250, 5)]
    frames = (grey[i // 4 % 50] for i in range(2000))
    first = next(frames)
    return write_video(tmp_path_factory.mktemp("video") / "endless.mp4", [first, *frames])


def test_two_thousand_frames_cannot_be_dubbed_at_once(studio, endless):
    with pytest.raises(ValueError, match="lasts 125 s; at most 120 s"):
        studio.task("dubbing", video=loaded(endless))


def test_two_thousand_frames_go_on_from_their_end(studio, endless):
    given = go_on(studio, loaded(endless), "from_kept_part").args[3]
    assert len(given.source.frames) == 9
    whole = go_on(studio, loaded(endless)).args[3]
    assert len(whole.source.frames) == 2000
    assert torch.equal(whole.source.frames[-9:], given.source.frames)


def test_a_video_too_large_for_the_memory_is_refused_before_it_is_decoded(studio, endless, monkeypatch):
    material = studio.nodes.host.media.footage
    monkeypatch.setattr(material, "BYTES_PER_PIXEL", 10**9)
    with pytest.raises(ValueError, match=r"2000 frames of 32x32.*Trim Video"):
        go_on(studio, loaded(endless))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.6])
def test_a_video_cut_short_is_named(studio, tmp_path, share):
    whole = studio.nodes.toon_examples.CLIPS / "toon_7.mp4"
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    with pytest.raises(ValueError, match=r"cannot be decoded|no video frames"):
        studio.task("dubbing", video=loaded(path))


def test_a_file_that_is_no_video_is_named(studio, tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("not a video")
    with pytest.raises(ValueError, match=r"cannot be decoded.*convert it to mp4"):
        studio.task("dubbing", video=loaded(path))


@pytest.mark.parametrize("size", [(1, 64), (64, 1)])
@pytest.mark.parametrize("task", ["dubbing", "continuation", "relip"])
def test_a_video_one_pixel_wide_is_refused_before_anything_is_sampled(studio, task, size):
    video = video_of(torch.rand(17, *size, 3), Fraction(16))
    more = {
        "continuation": {"keep_seconds": 0.5625, "seconds": 1.0, "result": "whole_clip"},
        "relip": {"region": "mouth"},
    }
    with pytest.raises(ValueError, match=f"is {size[1]}x{size[0]} pixels; each side needs at least 2"):
        studio.task(task, video=video, **more.get(task, {}))
