"""New words and lips in a video: around the region everything is the user's, inside it the face speaks anew."""

import pytest
import torch
from comfy.nested_tensor import NestedTensor

from tests.nodes.studio import moving_frames, notices_of, speech_at, video_of
from toon.clips.scene import make_scene
from uniavgen_core.media.faces.mouth_regions import REGIONS


def toon_video(studio, clip="toon_7"):
    video, audio, transcript = studio.example(clip)
    return video, audio, transcript


def box(count, height, width, side=0.5):
    """A mask of a rectangle in the middle."""
    mask = torch.zeros(count, height, width)
    mask[:, int(height * (1 - side) / 2) : int(height * (1 + side) / 2), width // 4 : 3 * width // 4] = 1
    return mask


@pytest.fixture(autouse=True)
def large(studio, monkeypatch):
    monkeypatch.setattr(studio, "SIZE", 128)


@pytest.mark.parametrize("region", REGIONS)
def test_around_the_found_region_the_video_is_the_users_bit_for_bit_and_inside_it_is_not(studio, region):
    video, _, _ = toon_video(studio)
    own = video.get_components().images
    prepared = studio.task("relip", transcript="red moon", video=video, region=region)
    where = prepared.args[3].source.region
    images, audio, fps = studio.make("relip", transcript="red moon", video=video, region=region)
    assert images.shape == own.shape
    assert fps == 16
    assert torch.equal(images[where == 0], own[where == 0])
    assert (images[where > 0.9] != own[where > 0.9]).float().mean() > 0.5
    assert audio["waveform"].abs().max() > 0.01
    least, most = {"mouth": (0.02, 0.25), "face": (0.15, 0.7)}[region]
    assert least < (where > 0).float().mean() < most


@pytest.mark.parametrize(("fps", "size"), [(25, (150, 90)), (30, (128, 160))])
def test_a_video_of_any_rate_and_size_comes_back_at_its_own(studio, fps, size):
    frames = moving_frames(fps, *size)
    mask = box(1, *size)
    images, _, rate = studio.make("relip", video=video_of(frames, fps), region="mouth", mask=mask)
    assert rate == fps
    assert images.shape == frames.shape
    outside = (mask == 0).expand(len(frames), -1, -1)
    assert torch.equal(images[outside], frames[outside])


def test_a_sound_that_drives_the_lips_comes_back_sample_for_sample(studio):
    video, _, _ = toon_video(studio)
    other = speech_at(studio.example("toon_3")[1], 44_100)
    output = studio.task("relip", transcript="", video=video, region="mouth", audio=other, audio_transcript="yes two")
    settings = studio.nodes.host.conditioning.pass_settings.pass_settings_of(output.args[0][0][1])
    assert settings.interaction.value == "audio_to_video"
    _, sound, _ = studio.make(
        "relip", transcript="", video=video, region="mouth", audio=other, audio_transcript="yes two"
    )
    count = min(sound["waveform"].shape[-1], other["waveform"].shape[-1])
    assert sound["sample_rate"] == 44_100
    assert torch.equal(sound["waveform"][..., :count], other["waveform"][..., :count])


def test_without_a_voice_the_videos_own_sound_is_the_reference_voice(studio):
    video, _, _ = toon_video(studio)
    keys = studio.nodes.host.conditioning.pass_settings
    own = studio.task("relip", video=video, region="mouth").args[0][0][1][keys.REFERENCE_VOICE_KEY]
    given = studio.task("relip", video=video, region="mouth", voice=studio.example("toon_3")[1])
    assert not torch.equal(given.args[0][0][1][keys.REFERENCE_VOICE_KEY], own)
    silent = video_of(video.get_components().images, 16)
    output = studio.task("relip", video=silent, region="mouth")
    assert keys.REFERENCE_VOICE_KEY not in output.args[0][0][1]
    assert "no audio to clone a voice from" in notices_of(output)
    tone = {"waveform": 0.5 * torch.sin(torch.arange(48_000) / 20)[None, None], "sample_rate": 24_000}
    music = video_of(video.get_components().images, 16, tone)
    output = studio.task("relip", video=music, region="mouth")
    assert keys.REFERENCE_VOICE_KEY not in output.args[0][0][1]
    assert "No voice could be taken" in notices_of(output)
    with pytest.raises(ValueError, match="No speech was found"):
        studio.task("relip", video=video, region="mouth", voice=tone)


def test_the_latent_keeps_clean_video_in_all_latent_pixels_that_the_region_does_not_touch(studio):
    video, _, _ = toon_video(studio)
    _, _, latent, given = studio.task("relip", video=video, region="mouth").args
    clean, mask = latent["samples"].unbind()[0], latent["noise_mask"].unbind()[0]
    sampled = studio.sample(*studio.task("relip", video=video, region="mouth").args[:3])["samples"].unbind()[0]
    kept = (mask == 0).expand_as(clean)
    assert 0 < mask.mean() < 0.5
    torch.testing.assert_close(sampled[kept], clean[kept], rtol=0, atol=1e-5)
    assert (sampled[~kept] - clean[~kept]).abs().mean() > 0.01
    touched = torch.nn.functional.adaptive_max_pool2d(given.source.region, clean.shape[-2:]) > 0
    assert torch.equal(touched[0], mask[0, 0, 0] > 0)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.zeros(1, 64, 64), "empty"),
        (torch.ones(1, 64, 64), "whole frame"),
        (torch.ones(5, 64, 64), "5 frames, the video 33"),
    ],
)
def test_a_mask_that_cannot_be_meant_is_refused(studio, mask, message):
    video, _, _ = toon_video(studio)
    with pytest.raises(ValueError, match=message):
        studio.task("relip", video=video, region="mouth", mask=mask)


def test_a_video_without_a_face_is_refused_and_one_that_loses_it_keeps_its_picture_there(studio):
    with pytest.raises(ValueError, match="No face was found"):
        studio.task("relip", video=video_of(moving_frames(20), 16), region="mouth")
    frames = toon_video(studio)[0].get_components().images.clone()
    frames[:12] = 0.5
    output = studio.task("relip", video=video_of(frames, 16), region="face")
    assert "the others are not changed" in notices_of(output)
    assert output.args[3].source.region[:8].max() == 0


def test_a_mask_is_widened_to_whole_tokens_before_sampling(pack):
    regions = pack.nodes.host.sampling.regions
    mask = torch.zeros(1, 1, 3, 4, 6)
    mask[:, :, 1, 1, 2] = 0.5
    expected = torch.zeros_like(mask)
    expected[:, :, 1, :2, 2:4] = 0.5
    assert torch.equal(regions.whole_tokens(mask, 2), expected)
    assert regions.whole_tokens(mask, 1) is mask


def test_a_small_face_is_shown_to_the_model_larger_and_comes_back_in_its_place(studio):
    toon = toon_video(studio)[0].get_components().images
    frames = torch.full((len(toon), 300, 420, 3), 0.5)
    frames[:, 100:228, 250:378] = toon
    video = video_of(frames, 16)
    near, whole = (studio.task("relip", video=video, region="mouth", view=view) for view in ("face_crop", "full_frame"))
    left, top, right, bottom = near.args[3].source.view
    assert right - left == bottom - top < 260
    assert left >= 0
    assert bottom <= 300
    assert whole.args[3].source.view is None
    generated = [(output.args[2]["noise_mask"].unbind()[0] > 0).float().mean() for output in (near, whole)]
    assert generated[0] > generated[1]
    images, _, _ = studio.make("relip", video=video, region="mouth")
    region = near.args[3].source.region
    assert torch.equal(images[region == 0], frames[region == 0])
    assert (images[region > 0.9] != frames[region > 0.9]).float().mean() > 0.5
    rows, columns = (region > 0).any(0).nonzero().unbind(1)
    assert rows.min() > 100
    assert columns.min() > 250


def test_a_mask_that_misses_every_face_is_told_of_and_one_that_touches_a_face_is_not(studio):
    video, _, _ = toon_video(studio)
    corner, middle = torch.zeros(1, 128, 128), torch.zeros(1, 128, 128)
    corner[:, :12, :12] = 1
    middle[:, 60:100, 40:90] = 1
    assert "touches none of the faces" in notices_of(studio.task("relip", video=video, region="mouth", mask=corner))
    assert "touches none" not in notices_of(studio.task("relip", video=video, region="mouth", mask=middle))


@pytest.fixture(scope="module")
def blinking():
    """A toon that shuts its eyes in frames 18 and 19, in which the detector then takes them for its mouth."""
    return make_scene(10_000_010, "held_out").clip


def toon_frames(clip):
    return torch.from_numpy(clip.frames) / 255


def test_the_mouths_region_leaves_shut_eyes_out_that_are_taken_for_a_mouth(studio, blinking):
    video = video_of(toon_frames(blinking), 16)
    region = studio.task("relip", video=video, region="mouth").args[3].source.region
    eyes = torch.from_numpy(blinking.eye_mask) > 0
    assert (region[18:20] > 0.5)[eyes[18:20]].float().mean() < 0.01


def test_a_blink_beside_new_lips_leaves_no_glow_on_the_face(studio, blinking):
    """What is generated has the open eyes of the frames before, next to the user's shut ones."""
    frames, mask = toon_frames(blinking), torch.zeros(1, 128, 128)
    mask[:, 64:100, 40:100] = 1
    _, _, latent, given = studio.task("relip", video=video_of(frames, 16), region="mouth", mask=mask).args
    video, audio = latent["samples"].unbind()
    video[:, :, 5] = video[:, :, 4]  # frames 17 to 20
    images, _, _ = studio.decode(latent | {"samples": NestedTensor((video, audio))}, given)
    below_the_eyes = (slice(18, 20), slice(66, 72), slice(52, 92))
    assert (images - frames)[below_the_eyes].abs().median() < 0.03
