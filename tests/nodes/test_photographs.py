"""Photographs given to the bundled model, which knows drawn toons only: told apart from these, and the user is told."""

import io
import logging
from importlib.resources import files

import numpy as np
import pytest
import torch
from PIL import Image

from tests.nodes.studio import notices_of, video_of

DRAWN_ONLY = "does not look like one of the drawn toons"
PHOTOS = {
    "astronaut": (0, 0, 512, 512),
    "astronaut's face": (130, 0, 330, 200),
    "camera": (0, 0, 512, 512),
    "chelsea": (0, 0, 451, 300),
}


def photo(name):
    with Image.open(str(files("skimage") / "data" / f"{name.split(chr(39))[0]}.png")) as picture:
        return picture.convert("RGB").crop(PHOTOS[name])


def tensor(picture):
    return torch.from_numpy(np.asarray(picture.convert("RGB"), dtype=np.float32) / 255)[None]


def as_jpeg(picture, quality=50):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file)


@pytest.fixture
def seen(studio):
    """What the task node says of a picture."""
    return lambda picture: notices_of(studio.task("joint", image=picture, seconds=1.0625))


@pytest.mark.parametrize("name", PHOTOS)
def test_a_photograph_is_named_whatever_its_size(seen, name):
    picture = photo(name)
    for shown in (picture, picture.resize((96, 96)), as_jpeg(picture)):
        assert DRAWN_ONLY in seen(tensor(shown))


def test_no_bundled_portrait_is_taken_for_a_photograph(studio):
    wide = Image.new("RGB", (192, 192), "white")
    strangest = {}
    for path in sorted(studio.nodes.toon_examples.PORTRAITS.glob("*.png")):
        with Image.open(path) as opened:
            portrait = opened.convert("RGB")
        wide.paste(portrait, (32, 32))
        for form in (portrait.crop((10, 6, 122, 118)), as_jpeg(portrait), wide):
            error = studio.nodes.host.media.drawn_pictures.photograph_score(studio.video_vae, tensor(form))
            strangest[path.stem] = max(error, strangest.get(path.stem, 0.0))
    assert len(strangest) == 24
    assert max(strangest.values()) < 0.95


def test_a_toon_is_named_in_no_task(studio):
    video, audio, _ = studio.example()
    for task, inputs in (
        ("joint", {"image": studio.image(), "seconds": 1.0625}),
        ("dubbing", {"video": video}),
        ("continuation", {"video": video, "keep_seconds": 0.5625, "seconds": 1.0, "result": "whole_clip"}),
        ("audio_driven", {"image": studio.image(), "audio": audio, "length": "match_audio", "seconds": 1.0}),
    ):
        assert DRAWN_ONLY not in notices_of(studio.task(task, **inputs)), task


@pytest.mark.parametrize("task", ["dubbing", "continuation"])
def test_a_filmed_person_is_named_too(studio, task):
    frames = tensor(photo("astronaut")).expand(17, -1, -1, -1)
    inputs = {"keep_seconds": 0.5625, "seconds": 1.0, "result": "whole_clip"} if task == "continuation" else {}
    assert DRAWN_ONLY in notices_of(studio.task(task, video=video_of(frames, 16), **inputs))


def test_the_reference_image_node_and_long_video_name_it_too(studio, caplog, monkeypatch, tmp_path):
    import folder_paths

    from tests.nodes.test_long import long_video

    picture = tensor(photo("astronaut"))
    latent = studio.nodes.empty_latent.EmptyLatent.execute(64, 64, 1.0625, 1).args[0]
    reference = studio.nodes.speech_and_reference.ReferenceImage
    output = reference.execute(*studio.texts(), studio.video_vae, picture, latent, "crop")
    assert DRAWN_ONLY in notices_of(output)
    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path))
    caplog.set_level(logging.INFO)
    long_video(studio, script="hello", image=picture)
    assert caplog.text.count(DRAWN_ONLY) == 1


def test_nothing_is_said_with_the_codec_of_the_released_model(pack):
    codec = object.__new__(pack.nodes.host.media.vaes.NormalizedVideoVAE)
    assert pack.nodes.host.media.drawn_pictures.photograph_notices(codec, tensor(photo("astronaut"))) == []
