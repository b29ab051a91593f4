"""The five tasks on the bundled model: what a user gave comes back untouched, and the rest is generated."""

from fractions import Fraction

import pytest
import torch

from tests.nodes.studio import moving_frames, notices_of, speech_at, video_of
from tests.nodes.video_files import write_file

SOUND, SET = "match_audio", "set_seconds"


@pytest.fixture(scope="module")
def speech(studio):
    """A second and a half of stereo speech at 44.1 kHz."""
    audio = speech_at(studio.example()[1], 44_100)
    return {**audio, "waveform": audio["waveform"][..., : 44_100 * 3 // 2]}


def pass_of(studio, positive):
    return studio.nodes.host.conditioning.pass_settings.pass_settings_of(positive[0][1])


def test_a_given_sound_comes_back_sample_for_sample_at_its_own_rate(studio, speech):
    images, audio, fps = studio.make("audio_driven", image=studio.image(), audio=speech, length=SOUND, seconds=9.0)
    assert audio["sample_rate"] == 44_100
    assert torch.equal(audio["waveform"], speech["waveform"])
    assert fps == 16
    assert len(images) == 24  # 1.5 s


def test_the_models_own_copy_of_a_sound_is_returned_when_asked_for(studio, speech):
    _, audio, _ = studio.make("audio_driven", audio=speech, length=SOUND, seconds=9.0, vocoded=True)
    assert audio["waveform"].shape == speech["waveform"].shape
    assert not torch.equal(audio["waveform"], speech["waveform"])


def test_after_a_shorter_sound_the_rest_is_generated(studio, speech):
    images, audio, _ = studio.make("audio_driven", audio=speech, length=SET, seconds=2.0625, audio_transcript="")
    given = speech["waveform"].shape[-1]
    assert torch.equal(audio["waveform"][..., :given], speech["waveform"])
    assert len(images) == 33
    assert audio["waveform"].shape[-1] == pytest.approx(2.0625 * 44_100, abs=44_100 / 50)
    assert audio["waveform"][..., given + 2000 :].abs().max() > 1e-3


@pytest.mark.parametrize(("seconds", "is_whole", "direction"), [(1.56, True, "audio_to_video"), (1.57, False, "both")])
def test_sound_is_generated_only_where_more_than_a_frame_of_it_is_missing(studio, speech, seconds, is_whole, direction):
    output = studio.task("audio_driven", audio=speech, length=SET, seconds=seconds, audio_transcript="hello")
    assert pass_of(studio, output.args[0]).interaction.value == direction
    assert output.args[3].source.ends_with_source == is_whole
    assert bool(output.args[2]["noise_mask"].unbind()[1].any()) != is_whole


def test_a_longer_sound_is_cut_to_the_clip_with_a_notice(studio, speech):
    output = studio.task("audio_driven", audio=speech, length=SET, seconds=0.8125)
    assert "cut to the clip's 0.81 s" in notices_of(output)
    positive, negative, latent, given = output.args
    images, audio, _ = studio.decode(studio.sample(positive, negative, latent), given)
    assert len(images) == 13
    assert torch.equal(audio["waveform"], speech["waveform"][..., : round(0.8125 * 44_100)])


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30_000, 1001), Fraction(8)])
def test_a_dubbed_video_keeps_its_frames_and_their_rate(studio, fps):
    frames = moving_frames(int(fps))
    images, audio, result_fps = studio.make("dubbing", video=video_of(frames, fps))
    assert torch.equal(images, frames)
    assert result_fps == pytest.approx(float(fps))
    assert audio["waveform"].shape[-1] / audio["sample_rate"] == pytest.approx(len(frames) / float(fps), abs=0.02)
    assert audio["waveform"].abs().max() > 1e-3


def test_a_continued_clip_is_whole_at_the_start_and_goes_on(studio):
    video, audio, _ = studio.example()
    source = video.get_components()
    images, sound, fps = studio.make("continuation", video=video, keep_seconds=0.5625, seconds=1.0, result="whole_clip")
    assert torch.equal(images[:33], source.images)
    assert len(images) == 33 + 16
    assert fps == 16
    kept = round(33 / 16 * sound["sample_rate"])
    assert torch.equal(sound["waveform"][..., :kept], audio["waveform"][..., :kept])
    assert sound["waveform"].shape[-1] == pytest.approx(49 / 16 * sound["sample_rate"], abs=sound["sample_rate"] / 50)
    assert sound["waveform"][..., kept + 1000 :].abs().max() > 1e-3


def test_a_result_may_begin_where_the_kept_part_does(studio):
    video = studio.example()[0]
    source = video.get_components()
    images, _, _ = studio.make("continuation", video=video, keep_seconds=0.5625, seconds=1.0, result="from_kept_part")
    assert torch.equal(images[:9], source.images[-9:])
    assert len(images) == 9 + 16


def test_a_clip_of_another_rate_goes_on_at_its_own(studio):
    frames = moving_frames(50)
    audio = {"waveform": 0.1 * torch.randn(1, 2, 96_000), "sample_rate": 48_000}
    video = video_of(frames, Fraction(25), audio)
    images, sound, fps = studio.make("continuation", video=video, keep_seconds=0.5, seconds=1.0, result="whole_clip")
    assert fps == 25
    assert torch.equal(images[:50], frames)
    assert torch.equal(sound["waveform"][..., :96_000], audio["waveform"])
    assert len(images) == pytest.approx(75, abs=3)


def test_a_clip_without_sound_goes_on_with_a_notice(studio):
    output = studio.task(
        "continuation",
        video=video_of(moving_frames(33), Fraction(16)),
        keep_seconds=0.5,
        seconds=1.0,
        result="whole_clip",
    )
    assert "no audio" in notices_of(output)


def test_each_task_runs_the_directions_of_the_release(studio, speech):
    video, audio, _ = studio.example()
    common = {"image": studio.image(), "seconds": 1.0625}
    whole = {"keep_seconds": 0.5, "seconds": 1.0, "result": "whole_clip"}
    runs = {
        "joint": ({**common}, "both"),
        "reference_voice": ({**common, "voice": audio}, "audio_to_video"),
        "audio_driven": ({**common, "audio": speech, "length": SOUND}, "audio_to_video"),
        "dubbing": ({"video": video}, "video_to_audio"),
        "continuation": ({"video": video, **whole}, "both"),
    }
    for name, (inputs, expected) in runs.items():
        positive = studio.task(name, **inputs).args[0]
        assert pass_of(studio, positive).interaction.value == expected, name


def test_without_their_audio_tasks_still_run(studio):
    for name, inputs in (("reference_voice", {}), ("audio_driven", {"length": SET})):
        output = studio.task(name, seconds=1.0625, **inputs)
        assert "connected" in notices_of(output)
        assert pass_of(studio, output.args[0]).interaction.value == "both"


def test_a_voice_precedes_the_clip_with_its_words_and_a_silence(studio):
    audio = studio.example()[1]
    output = studio.task("reference_voice", seconds=1.0625, voice=audio, voice_transcript=" hello nice fish ")
    positive = output.args[0]
    mel = positive[0][1][studio.nodes.host.conditioning.pass_settings.REFERENCE_VOICE_KEY]
    seconds = audio["waveform"].shape[-1] / audio["sample_rate"]
    assert mel.shape[2] == pytest.approx(100 * (seconds + 0.3), abs=2)
    silence = studio.nodes.host.conditioning.speaker_tracks.silence(20)
    assert torch.allclose(mel[0, 0, -20:], silence, atol=1e-3)
    assert pass_of(studio, positive).speeches[0].voice_transcript == "hello nice fish"


def test_a_voice_without_words_says_what_that_costs(studio):
    audio = studio.example()[1]
    output = studio.task("reference_voice", seconds=1.0625, voice=audio, voice_transcript="")
    assert "no transcript" in notices_of(output)


def test_a_voice_on_the_right_channel_alone_is_heard(studio):
    audio = speech_at(studio.example()[1], 48_000)
    audio["waveform"][:, 0] = 0
    positive = studio.task("reference_voice", seconds=1.0625, voice=audio).args[0]
    mel = positive[0][1][studio.nodes.host.conditioning.pass_settings.REFERENCE_VOICE_KEY]
    assert mel[0, 0, :-40].mean() > -1


def test_words_of_a_continuation_begin_after_the_kept_part(studio):
    video = studio.example()[0]
    output = studio.task("continuation", video=video, keep_seconds=0.5625, seconds=1.0, result="whole_clip")
    assert pass_of(studio, output.args[0]).speeches[0].start == pytest.approx(0.56)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A clip as a phone records it: crisp pictures that hardly move, H.264 and AAC, the sound longer than the picture.

    AAC fills its last block: at 16 kHz, 34 ms after the picture has ended.
    """
    wall = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    frames = torch.cat([wall.roll(number // 8, 2) for number in range(33)]) * 0.4 + 0.3
    samples = torch.arange(33_000) / 16_000
    tone = {"waveform": 0.3 * torch.sin(2 * torch.pi * 200 * samples)[None, None], "sample_rate": 16_000}
    return write_file(tmp_path_factory.mktemp("recorded") / "clip.mp4", frames, Fraction(16), tone, crf=1)


def continued(studio, path):
    """What was given, as Load Video gives it, and the continued clip: pictures and AUDIO."""
    from comfy_api.latest import InputImpl

    video = InputImpl.VideoFromFile(str(path))
    keep = {"keep_seconds": 0.5625, "seconds": 0.75, "result": "whole_clip"}
    latent, given = studio.task("continuation", video=video, **keep).args[2:]
    # The last kept latent over and over: what follows shows nothing new, so that only the codec's loss is seen.
    video_latent, audio_latent = latent["samples"].unbind()
    kept = 3
    video_latent = torch.cat(
        [video_latent[:, :, :kept], video_latent[:, :, kept - 1 : kept].expand(-1, -1, 3, -1, -1)], 2
    )
    images, audio, _ = studio.decode({"samples": type(latent["samples"])((video_latent, audio_latent))}, given)
    return video.get_components(), images, audio


def test_a_continued_clip_does_not_jump_where_the_codecs_pictures_begin(studio, recorded):
    source, images, _ = continued(studio, recorded)
    assert torch.equal(images[:33], source.images)
    steps = (images[1:] - images[:-1]).abs().mean((1, 2, 3))
    loss = (source.images[-1] - images[-1]).abs().mean()  # how much softer the last frame is than the last kept one
    assert loss > 0.03
    assert steps[32] < loss / 5
    assert steps[32:].max() < loss / 3


def test_kept_sound_ends_where_the_picture_ends(studio, recorded):
    source, _, audio = continued(studio, recorded)
    own, rate = source.audio["waveform"], source.audio["sample_rate"]
    end = round(33 / 16 * rate)
    assert own.shape[-1] > end
    assert torch.equal(audio["waveform"][..., :end], own[..., :end])
    assert not torch.equal(audio["waveform"][..., end : own.shape[-1]], own[..., end:])


def test_a_length_of_zero_is_what_the_model_was_trained_at(studio):
    video = studio.example()[0]
    joint = studio.task("joint", image=studio.image(), seconds=0.0).args[2]
    assert joint["samples"].unbind()[0].shape[2] == 9  # 33 frames
    plan = {"video": video, "result": "from_kept_part"}
    own = studio.task("continuation", keep_seconds=0.0, seconds=0.0, **plan).args[2]
    said = studio.task("continuation", keep_seconds=0.5625, seconds=1.5, **plan).args[2]
    assert all(map(torch.equal, own["samples"].unbind(), said["samples"].unbind()))
