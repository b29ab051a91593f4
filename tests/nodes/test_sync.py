"""The sync meter as a node: in a real graph on a real video, and with input that cannot be measured."""

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tools.comfy_client import PromptFailedError
from toon.clips import make_clip

RATE = 24_000


@pytest.fixture(scope="module")
def clip():
    return make_clip(101, 65, split="held_out")


@pytest.fixture(scope="module")
def meter(pack):
    return pack.nodes.lip_sync_meter.SyncMeter


@pytest.fixture
def video(clip, server):
    """A video file in the server's input folder whose sound comes 250 ms late."""
    path = server.folder / "input" / "late.mp4"
    path.parent.mkdir(exist_ok=True)
    sound = np.concatenate([np.zeros(RATE // 4, np.float32), clip.waveform])[: len(clip.waveform)]
    with av.open(str(path), "w") as file:
        pictures, samples = file.add_stream("libx264", rate=16), file.add_stream("aac", rate=RATE)
        pictures.width, pictures.height, pictures.pix_fmt = 128, 128, "yuv420p"
        for frame in clip.frames:
            file.mux(pictures.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        chunk = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        chunk.sample_rate = RATE
        for stream, last in ((samples, chunk), (samples, None), (pictures, None)):
            file.mux(stream.encode(last))
    return path.name


def images_of(clip):
    return torch.from_numpy(clip.frames) / 255


def audio_of(waveform):
    return {"waveform": torch.as_tensor(waveform)[None, None], "sample_rate": RATE}


def test_a_video_file_whose_sound_is_late_is_found_out(server, video, tmp_path):
    graph = {
        "1": {"class_type": "LoadVideo", "inputs": {"file": video}},
        "2": {"class_type": "GetVideoComponents", "inputs": {"video": ["1", 0]}},
        "3": {
            "class_type": "UniAVGenSyncMeter",
            "inputs": {"images": ["2", 0], "audio": ["2", 1], "fps": ["2", 2]},
        },
        "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 2], "filename_prefix": "plot"}},
    }
    result = server.run(graph)
    (text,) = result.outputs["3"]["text"]
    lag = int(text.split("lag ")[1].split(" ms")[0])
    assert abs(lag - 250) <= 62
    assert "late" in text
    (file,) = [file for file in result.files() if file["filename"].startswith("plot")]
    plot = np.asarray(Image.open(server.download(file, tmp_path / "plot.png")))
    assert plot.shape == (540, 960, 3)
    assert plot.std() > 20


def test_the_outputs_are_the_score_the_lag_and_the_plot(meter, clip):
    score, lag, plot = meter.execute(images_of(clip), audio_of(clip.waveform), 16.0).result
    assert 0.8 < score <= 1
    assert abs(lag) <= 30
    assert 0 <= plot.min() < plot.max() <= 1


def test_a_mask_is_taken_as_what_it_shows(meter, clip):
    images, sound = images_of(clip), audio_of(clip.waveform)
    face, mouth = (torch.from_numpy(mask) / 255 for mask in (clip.face_mask, clip.mouth_mask))
    assert meter.execute(images, sound, 16.0, face, "face").result[0] > 0.8
    assert meter.execute(images, sound, 16.0, mouth, "mouth").result[0] > 0.8
    beside = torch.zeros(1, 128, 128)
    beside[:, :10, :10] = 1
    assert meter.execute(images, sound, 16.0, beside, "mouth").result[0] == 0


def test_silence_and_a_sound_of_another_length_are_said_on_the_node(meter, clip):
    silent = meter.execute(images_of(clip), audio_of(0 * clip.waveform), 16.0)
    assert silent.result[:2] == (0, 0)
    assert "silent" in silent.ui["text"][0]
    short = meter.execute(images_of(clip), audio_of(clip.waveform[: 3 * RATE]), 16.0)
    assert "the first 3.00 s are compared" in short.ui["text"][0]


@pytest.mark.parametrize(
    ("images", "audio", "message"),
    [
        (lambda x: x[:1], lambda x: x, "1 frames in common"),
        (lambda x: x, lambda x: x[:0], "empty"),
        (lambda x: x, lambda x: x * np.nan, "not finite"),
        (lambda x: x, lambda x: x[:1], "0 frames in common"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(meter, clip, images, audio, message):
    with pytest.raises(ValueError, match=message):
        meter.execute(images(images_of(clip)), audio_of(audio(clip.waveform)), 16.0)
    with pytest.raises(ValueError, match="audio track"):
        meter.execute(images_of(clip), None, 16.0)


def test_one_picture_fails_in_the_server_with_the_reason(server):
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "2": {"class_type": "EmptyAudio", "inputs": {"duration": 2.0, "sample_rate": 24000, "channels": 2}},
        "3": {"class_type": "UniAVGenSyncMeter", "inputs": {"images": ["1", 0], "audio": ["2", 0], "fps": 16.0}},
    }
    with pytest.raises(PromptFailedError, match="at least 8 are needed"):
        server.run(graph)
