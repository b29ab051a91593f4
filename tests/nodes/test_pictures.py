"""What the model sees of a picture: resized as the release does, at the size that the user or the picture decides."""

from fractions import Fraction

import comfy.model_management
import pytest
import torch

from tests.nodes.graphs import GUIDANCE
from tests.nodes.recorder import by_pillow, recorder, stripes
from tests.nodes.studio import notices_of, speech_at, video_of

GO_ON = {"keep_seconds": 0.5625, "result": "whole_clip"}
AS_THE_PICTURE = {"size": "match_input", "short_side": 0}


@pytest.fixture(autouse=True)
def uninspected(studio, monkeypatch):
    """Codecs that record do not decode, which telling photographs from drawings needs."""
    for module in (studio.nodes.task, studio.nodes.speech_and_reference, studio.nodes.host.long_video.long_inputs):
        monkeypatch.setattr(module, "photograph_notices", lambda *_: [])


def task(studio, codec, name="joint", size=AS_THE_PICTURE, **inputs):
    """Output of the task node with a codec."""
    positive, negative = studio.texts()
    length = {} if name == "dubbing" else {"seconds": 0.5625}
    return studio.nodes.task.Task.execute(positive, negative, codec, size, {"task": name, **length, **inputs})


def preset(name, fit="crop", short_side=0):
    return {"size": name, "short_side": short_side, "fit": fit}


def free(width, height, fit="crop"):
    return {"size": "custom", "width": width, "height": height, "fit": fit}


def size_of(output):
    """Width and height of a node's latent, pixels."""
    rows, columns = output.args[2]["samples"].unbind()[0].shape[-2:]
    return columns * 16, rows * 16


def refer(studio, codec, image, width, height, fit="crop"):
    """Output of the node 'Reference Image' for a clip of a size."""
    latent = studio.nodes.empty_latent.EmptyLatent.execute(width, height, 0.5625).args[0]
    return studio.nodes.speech_and_reference.ReferenceImage.execute(*studio.texts(), codec, image, latent, fit)


def test_a_large_photograph_reaches_the_codec_as_pillow_shrinks_it(pack, studio):
    codec, photograph = recorder(pack), stripes(3840, 2944)
    output = task(studio, codec, image=photograph)
    (seen,) = codec.seen
    assert size_of(output) == (960, 736)
    assert torch.equal(seen, by_pillow(photograph, (960, 736)))
    assert notices_of(output) == ""


@pytest.fixture(scope="module")
def footage():
    """Frames of a wide video, at the model's own rate, and as VIDEO."""
    frames = stripes(150, 100, frames=9)
    return frames, video_of(frames, Fraction(16), {"waveform": 0.1 * torch.ones(1, 1, 13_500), "sample_rate": 24_000})


def image_of_a_latent(studio, codec, footage):
    refer(studio, codec, footage[0], 96, 64)


def keep(studio, codec, footage):
    latent = studio.nodes.empty_latent.EmptyLatent.execute(96, 64, 0.5625).args[0]
    texts = studio.texts()
    studio.nodes.keep.Keep.execute(*texts, latent, codec, "all", "", video=footage[1])


def dub(studio, codec, footage):
    task(studio, codec, "dubbing", free(96, 64), video=footage[1])


def go_on(studio, codec, footage):
    task(studio, codec, "continuation", free(96, 64), video=footage[1], keep_seconds=0.5625, result="whole_clip")


def with_voice(studio, codec, footage):
    voice = studio.example()[1]
    task(studio, codec, "reference_voice", free(96, 64), image=footage[0][:1], voice=voice)


def follow(studio, codec, footage):
    sound = speech_at(studio.example()[1], 24_000)
    task(studio, codec, "audio_driven", free(96, 64), image=footage[0][:1], audio=sound, length="match_audio")


def speak_long(studio, codec, footage):
    def stop(*_):
        raise comfy.model_management.InterruptProcessingException

    values = {
        "script": "hello", "size": free(96, 64), "segment_seconds": 1.0625, "keep_seconds": 0.5625,
        "length": "full_segments", "seed": 0, "steps": 1, "shift": 5.0, "image": footage[0][:1], **GUIDANCE,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(studio.nodes.long_video, "run_sampler", stop)
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            studio.nodes.long_video.LongVideoNode.execute(
                studio.model, *studio.texts(None), codec, studio.audio_vae, **values
            )


@pytest.mark.parametrize("way", [image_of_a_latent, keep, dub, go_on, with_voice, follow, speak_long])
def test_every_way_to_the_model_shrinks_pictures_as_the_release_does(pack, studio, footage, way):
    codec = recorder(pack)
    way(studio, codec, footage)
    assert codec.seen
    for seen in codec.seen:
        assert torch.equal(seen, by_pillow(footage[0][: len(seen)], (96, 64)))


def test_nothing_outside_of_a_crop_is_averaged_into_it(pack, studio):
    image = stripes(400, 300)
    codec = recorder(pack)
    task(studio, codec, size=free(96, 96), image=image)
    assert torch.equal(codec.seen[0], by_pillow(image, (96, 96), (50, 0, 350, 300)))
    bars = torch.zeros(1, 300, 400, 3)
    bars[:, :, :50] = bars[:, :, 350:] = 1
    refer(studio, codec, bars, 96, 96)
    assert codec.seen[1].max() == 0


@pytest.mark.parametrize(
    ("picture", "expected"),
    [((768, 1024), (736, 992)), ((1920, 1080), (1312, 736)), ((500, 500), (736, 736)), ((1080, 1920), (736, 1312)),
     ((320, 200), (1184, 736))],
)  # fmt: skip
def test_the_release_sees_the_whole_picture_at_a_short_side_of_736(pack, studio, picture, expected):
    codec, image = recorder(pack), stripes(*picture)
    output = task(studio, codec, image=image)
    assert size_of(output) == expected
    assert torch.equal(codec.seen[0], by_pillow(image, expected))
    assert notices_of(output) == ""


@pytest.mark.parametrize(
    ("picture", "expected"), [((90, 90), (128, 128)), ((120, 90), (128, 128)), ((160, 90), (256, 128))]
)
def test_the_bundled_model_takes_the_nearer_of_the_sizes_it_was_trained_at(pack, studio, picture, expected):
    assert size_of(task(studio, recorder(pack, bundled=True), image=stripes(*picture))) == expected


def test_a_short_side_of_ones_own_keeps_the_whole_picture(pack, studio):
    for bundled in (False, True):
        codec, image = recorder(pack, bundled), stripes(90, 120)
        output = task(studio, codec, size={**AS_THE_PICTURE, "short_side": 96}, image=image)
        assert size_of(output) == (96, 128)
        assert torch.equal(codec.seen[0], by_pillow(image, (96, 128)))


@pytest.mark.parametrize(("name", "inputs"), [("dubbing", {}), ("continuation", GO_ON)])
@pytest.mark.parametrize(("bundled", "expected"), [(False, (1120, 736)), (True, (256, 128))])
def test_a_video_without_a_size_is_seen_whole_in_its_own_proportions(
    pack, studio, footage, name, inputs, bundled, expected
):
    codec = recorder(pack, bundled)
    output = task(studio, codec, name, video=footage[1], **inputs)
    assert size_of(output) == expected
    for seen in codec.seen:
        assert torch.equal(seen, by_pillow(footage[0][: len(seen)], expected))
    assert "cropped" not in notices_of(output)


@pytest.mark.parametrize(
    ("name", "released", "bundled"),
    [("square", (736, 736), (128, 128)), ("portrait_3_4", (736, 992), (128, 192)),
     ("landscape_4_3", (992, 736), (192, 128)), ("portrait_9_16", (736, 1312), (128, 256)),
     ("landscape_16_9", (1312, 736), (256, 128))],
)  # fmt: skip
def test_a_preset_has_its_proportions_at_the_models_own_short_side(pack, studio, name, released, bundled):
    assert size_of(task(studio, recorder(pack), size=preset(name))) == released
    assert size_of(task(studio, recorder(pack, bundled=True), size=preset(name))) == bundled
    shorter = preset(name, short_side=480)
    assert min(size_of(task(studio, recorder(pack), size=shorter))) == 480


def test_without_a_picture_the_clip_is_a_square_and_the_user_is_told(pack, studio):
    for bundled, side in ((False, 736), (True, 128)):
        output = task(studio, recorder(pack, bundled))
        assert size_of(output) == (side, side)
        assert f"no image to take the clip's proportions from, so the clip is a square of {side}x{side}" in notices_of(
            output
        )
    assert notices_of(task(studio, recorder(pack), size=preset("square"))) == ""


def test_a_crop_is_told_with_its_share_its_sides_and_what_keeps_the_whole(pack, studio):
    wide, tall = stripes(160, 90), stripes(75, 100)
    told = notices_of(task(studio, recorder(pack), size=preset("square"), image=wide))
    assert "44% of the image (160x90) is cropped off to make it 736x736" in told
    assert "35 columns on the left and 35 on the right" in told
    assert "choose the size 'match input'" in told
    told = notices_of(task(studio, recorder(pack, bundled=True), image=tall))
    assert "25% of the image (75x100)" in told
    assert "12 rows at the top and 13 at the bottom" in told
    assert "trained at 128x128 and 256x128 only" in told
    assert "set short_side to 128" in told
    told = notices_of(task(studio, recorder(pack, bundled=True), size=preset("square"), image=tall))
    assert "choose the fit 'stretch'" in told
    told = notices_of(refer(studio, recorder(pack), wide, 64, 64))
    assert "give the latent the image's proportions, or choose the fit 'stretch'" in told


@pytest.mark.parametrize(
    ("height", "fit", "told"), [(105, "crop", False), (106, "crop", True), (200, "stretch", False)]
)
def test_a_crop_of_five_percent_is_not_worth_a_word(pack, studio, height, fit, told):
    image = stripes(100, height)
    assert ("cropped" in notices_of(task(studio, recorder(pack), size=free(64, 64, fit), image=image))) is told
    assert ("cropped" in notices_of(refer(studio, recorder(pack), image, 64, 64, fit))) is told


def test_the_person_of_a_continued_clip_is_cropped_to_the_clip_and_stretched_with_it(pack, studio, footage):
    codec, image = recorder(pack), stripes(100, 100)
    inputs = {"video": footage[1], "image": image, "keep_seconds": 0.5625, "result": "whole_clip"}
    output = task(studio, codec, "continuation", free(64, 64), **inputs)
    assert torch.equal(codec.seen[0], by_pillow(image, (64, 64), (0, 16, 100, 83)))
    assert torch.equal(codec.seen[1], by_pillow(footage[0], (64, 64)))
    assert "33% of the image (100x100) is cropped off to make it 150x100" in notices_of(output)
    assert "of the clip's proportions" in notices_of(output)


@pytest.mark.parametrize(
    ("size", "picture", "words"),
    [
        (AS_THE_PICTURE, (1000, 100), "clip would be 7360x736; at most 4096"),
        (preset("square", short_side=100), (9, 9), "short_side is 100"),
        (free(100, 64), (9, 9), "width is 100"),
    ],
)
def test_an_impossible_size_is_refused_in_words(pack, studio, size, picture, words):
    with pytest.raises(ValueError, match=words):
        task(studio, recorder(pack), size=size, image=stripes(*picture))
