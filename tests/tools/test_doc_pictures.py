"""The pictures of the documentation: drawn from clips, and made from a template in a real server."""

import json
import math

import av
import numpy as np
import pytest
from PIL import Image

from tools.clip_pictures import (
    GENERATED,
    OWN,
    ROW_HEIGHT,
    OwnMedia,
    frames_in_a_row,
    loudest_frames,
    preview_frames,
    waveform_columns,
)
from tools.contact_sheet import Clip, read_clip
from tools.make_doc_pictures import make_task_picture, names_of_templates, own_media
from tools.template_titles import WORKFLOWS, api_file, graph_file
from tools.templates_with_files import WITH_FILES
from tools.workflow import read_workflow

BAR = ROW_HEIGHT + 5  # a row of pixels inside the bar


@pytest.fixture
def clip():
    """Two seconds of frames that grow brighter, with a sound in the second half of each second."""
    frames = np.repeat(np.arange(32, dtype=np.uint8) * 8, 16 * 16 * 3).reshape(32, 16, 16, 3)
    sound = np.where(np.arange(16_000) % 8000 < 4000, 0, 0.5).astype(np.float32)
    return Clip(frames, 16.0, sound, 8000, ("h264", "aac"))


def colors_of_bar(clip, own):
    return [tuple(color[:3]) for color in np.asarray(frames_in_a_row(clip, own))[BAR]]


def test_the_bar_tells_what_is_generated(clip):
    assert set(colors_of_bar(clip, OwnMedia())[4:-4]) == {GENERATED}
    assert set(colors_of_bar(clip, OwnMedia(video_seconds=math.inf))[4:-4]) == {OWN}
    continued = colors_of_bar(clip, OwnMedia(video_seconds=0.5))
    assert (continued[100], continued[140]) == (OWN, GENERATED)
    around = colors_of_bar(clip, OwnMedia(around=True))[4:-4]
    assert set(around) == {OWN, GENERATED}


def test_the_waveform_has_the_colors_of_its_parts_and_the_height_of_its_sound(clip):
    wave = np.asarray(waveform_columns(clip.sound, (400, 40), 0.25))
    heights = (wave[..., 3] > 0).sum(0)
    assert heights[50] < 4 < 30 < heights[140]
    assert tuple(wave[20, 50, :3]) == OWN
    assert tuple(wave[20, 140, :3]) == GENERATED


def test_silence_has_a_flat_waveform():
    wave = np.asarray(waveform_columns(np.zeros(0, np.float32), (100, 40), 0.0))
    assert 0 < (wave[..., 3] > 0).sum(0).max() < 4


def test_the_frames_of_a_picture_are_taken_from_all_of_the_clip_while_something_is_heard(clip):
    first, second = loudest_frames(clip, 2)
    assert 8 <= first < 16
    assert 24 <= second < 32


def test_the_playhead_of_a_preview_moves_with_the_frames(clip):
    cards = [np.asarray(card) for card in preview_frames(clip, "red moon")]
    assert len(cards) == 32
    played = [(np.abs(card.astype(int) - GENERATED).sum(-1) < 10).sum() for card in cards]
    assert played[0] < played[15] < played[31]


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("quick_start", OwnMedia()),
        ("audio_driven", OwnMedia(audio_seconds=math.inf)),
        ("dubbing", OwnMedia(video_seconds=math.inf)),
        ("relip", OwnMedia(around=True)),
        ("long_dubbing", OwnMedia(video_seconds=math.inf)),
        ("long_audio_driven", OwnMedia(audio_seconds=math.inf)),
        ("long_video", OwnMedia()),
        ("continuation", OwnMedia(2.0625, 2.0625)),
    ],
)
def test_the_users_own_part_of_a_template_is_known(name, own):
    assert own_media(read_workflow(api_file(name))) == own


def test_the_released_templates_have_no_picture_because_their_weights_are_not_there():
    assert set(names_of_templates()) == {path.stem for path in (WORKFLOWS / "api").glob("*.json")} - set(WITH_FILES)


def test_the_quick_start_becomes_a_clip_with_sound_its_preview_and_its_pictures(server, tmp_path):
    make_task_picture(server, "quick_start", tmp_path)
    demo = read_clip(tmp_path / "demo.mp4")
    assert demo.frames.shape[1:] == (384, 384, 3)
    assert np.abs(demo.sound).max() > 0.1
    with av.open(str(tmp_path / "demo.mp4")) as file:
        assert file.metadata["digital_source_type"].endswith("trainedAlgorithmicMedia")
        assert "prompt" not in file.metadata
        assert json.loads(file.metadata["workflow"]) == json.loads(graph_file("quick_start").read_text("utf-8"))
    with Image.open(tmp_path / "demo.webp") as preview:
        assert preview.n_frames == len(demo.frames)
    names = ("tasks/quick_start.webp", "face_mask.webp")
    plain, masked = (np.asarray(Image.open(tmp_path / name)).astype(int) for name in names)
    assert (masked - plain)[:ROW_HEIGHT, :, 2].mean() > 5 > (plain - masked)[ROW_HEIGHT:].mean()
    assert Image.open(tmp_path / "sync_meter.webp").width == 720
