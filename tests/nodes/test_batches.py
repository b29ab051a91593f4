"""Batches: every clip becomes a video of its own, and of several pictures or sounds for one input the first counts."""

import logging

import numpy as np
import pytest
import torch

from tests.nodes.graphs import Graph
from tests.nodes.studio import moving_frames, notices_of, video_of
from tools.contact_sheet import read_clip

pytestmark = pytest.mark.usefixtures("quick_sound")

FRAMES = 17


@pytest.fixture
def empty(studio):
    """LATENT of two clips."""
    return studio.nodes.empty_latent.EmptyLatent.execute(64, 64, 1.0625, 2).args[0]


def decoded(studio, latent, source_media=None):
    """Lists of images and AUDIO."""
    with torch.inference_mode():
        return studio.nodes.decode.Decode.execute(latent, studio.video_vae, studio.audio_vae, source_media).args[:2]


def test_a_batch_of_two_becomes_two_videos_each_with_its_own_sound(server, tmp_path):
    notices = []
    files = server.run(
        Graph(steps=2, batch_size=2).nodes,
        on_event=lambda kind, data: notices.append(data["notice"]) if kind == "uniavgen.notice" else None,
    ).files()
    videos = [file for file in files if file["filename"].endswith(".mp4")]
    assert len({file["filename"] for file in videos}) == 2
    one, other = (read_clip(server.download(file, tmp_path / file["filename"])) for file in videos)
    for clip in (one, other):
        assert clip.frames.shape[0] == FRAMES
        assert len(clip.sound) / clip.sample_rate == pytest.approx(FRAMES / 16, abs=0.05)
        assert np.abs(clip.sound).max() > 0.01
    assert np.abs(one.frames.astype(int) - other.frames).mean() > 0.1
    assert np.abs(one.sound[: len(other.sound)] - other.sound[: len(one.sound)]).mean() > 1e-3
    assert "2 clips are sampled at once; previews show the first of them." in notices


def test_clips_of_a_batch_are_decoded_as_they_are_alone(studio, empty):
    sampled = studio.sample(*studio.texts(), empty)
    images, audio = decoded(studio, sampled)
    assert len(images) == len(audio) == 2
    video, sound = sampled["samples"].unbind()
    nested = type(sampled["samples"])
    for number in range(2):
        alone = {"samples": nested((video[number : number + 1], sound[number : number + 1]))}
        ((wanted,), (wanted_audio,)) = decoded(studio, alone)
        torch.testing.assert_close(images[number], wanted)
        torch.testing.assert_close(audio[number]["waveform"], wanted_audio["waveform"])


def test_what_is_kept_comes_back_untouched_in_every_clip_of_a_batch(studio, empty):
    frames = moving_frames(FRAMES)
    positive, negative, latent, given = studio.nodes.keep.Keep.execute(
        *studio.texts(), empty, studio.video_vae, "0-0.5", "", video_of(frames, 16)
    ).args
    images, audio = decoded(studio, studio.sample(positive, negative, latent), given)
    kept = 8
    assert len(images) == len(audio) == 2
    assert all(torch.equal(clip[:kept], images[0][:kept]) for clip in images)
    assert not torch.equal(images[0][kept + 1 :], images[1][kept + 1 :])


def test_a_reference_image_a_mask_and_several_speakers_serve_every_clip_of_a_batch(studio, empty):
    condition, speakers = studio.nodes.speech_and_reference, studio.nodes.speakers
    positive, negative = studio.texts(None)
    parts = condition.ReferenceImage.execute(positive, negative, studio.video_vae, studio.image(), empty, "crop").args
    two = {name: speakers.OneSpeaker.execute("hi", 0.0, 0.0).args[0] for name in ("speaker0", "speaker1")}
    how = {"mode": "replace", "strength": 1.0, "start_sigma": 1.0, "stop_sigma": 0.0}
    positive, negative, latent = speakers.Speakers.execute(*parts, two, **how).args
    images, audio = decoded(studio, studio.sample(positive, negative, latent))
    assert [len(clip) for clip in images] == [FRAMES, FRAMES]
    assert [sound["waveform"].shape[:2] for sound in audio] == [(1, 1), (1, 1)]
    assert torch.equal(images[0][0], images[1][0])
    assert not torch.equal(images[0][1:], images[1][1:])
    with torch.inference_mode():
        latent = studio.sample(*studio.texts(), parts[2])
        mask = studio.nodes.face_overlay.ShowFaceMask.execute(studio.model, studio.texts()[0], latent, 0.3, 0).args[0]
    first, second = mask.unflatten(0, (2, FRAMES))
    assert not torch.equal(first, second)


def test_of_several_pictures_and_voices_the_first_is_used_and_the_user_is_told(studio, empty):
    images = torch.cat([studio.image("toon_5_happy"), studio.image("toon_1_calm")])
    _, audio, _ = studio.example()
    voices = {**audio, "waveform": torch.cat([audio["waveform"], audio["waveform"].flip(-1)])}
    output = studio.task("reference_voice", image=images, seconds=1.0625, voice=voices, voice_transcript="hello")
    assert "The image is a batch of 2, of which only the first is used." in notices_of(output)
    assert "The reference voice is a batch of 2, of which only the first is used." in notices_of(output)
    reference = studio.nodes.speech_and_reference.ReferenceImage
    chosen = [
        reference.execute(*studio.texts(), studio.video_vae, image, empty, "crop") for image in (images, images[:1])
    ]
    assert "batch of 2" in notices_of(chosen[0])
    assert notices_of(chosen[1]) == ""
    assert torch.equal(*(output.args[2]["samples"].unbind()[0] for output in chosen))


def test_a_long_video_uses_the_first_of_several_pictures_and_says_so(studio, caplog, monkeypatch, tmp_path):
    import folder_paths

    from tests.nodes.test_long import long_video

    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path))
    caplog.set_level(logging.INFO)
    long_video(studio, script="hello", image=torch.cat([studio.image(), studio.image()]))
    assert "The image is a batch of 2, of which only the first is used." in caplog.text
