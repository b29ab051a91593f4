"""What a run shows of itself: the log, TensorBoard, samples as files."""

import io
import json

import av
import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.core.training.trainer_program import DEFAULTS, NOISE, log_of, tiny_model
from uniavgen_core.training.monitor import drop_lines_after
from uniavgen_core.training.sample_clips import Sample, write_mp4
from uniavgen_core.training.trainer import Trainer
from uniavgen_core.training.trainer_config import TrainerConfig

RATE, FRAMES = 24_000, 9


def clip(name="clip", brightness=40):
    """A picture that brightens from left to right, frame by frame, and a tone of 500 Hz."""
    frames = np.full((FRAMES, 32, 48, 3), brightness, np.uint8)
    frames += (10 * np.arange(FRAMES, dtype=np.uint8))[:, None, None, None]
    tone = 0.5 * np.sin(2 * np.pi * 500 * np.arange(RATE * FRAMES // 16) / RATE)
    return Sample(frames, tone.astype(np.float32), RATE, name)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder, seen = tmp_path_factory.mktemp("monitor"), []
    model = tiny_model()
    config = TrainerConfig(folder, "run", **DEFAULTS | {"sample_every": 3, "average": 0.9})

    def sampler(given):
        assert not given.training
        seen.append(given.head.head.weight.detach().clone())
        return [clip()]

    trainer = Trainer(model, [torch.optim.AdamW(model.parameters(), 1e-2)], NOISE, config, sampler=sampler)
    trainer.run()
    events = EventAccumulator(str(folder / "run" / "tensorboard"), size_guidance={"images": 0, "audio": 0}).Reload()
    return folder, trainer, seen, events


def test_every_line_of_the_log_says_all_and_tensorboard_shows_the_same(run):
    folder, trainer, _, events = run
    lines = log_of(folder)
    assert len(lines) == 6
    needed = {"step", "seconds", "loss", "video", "audio", "norm", "rate", "examples_per_second"}
    assert all(needed <= set(line) for line in lines)
    for name in ("loss", "video", "norm", "rate"):
        shown = events.Scalars(name)
        assert [event.step for event in shown] == [line["step"] for line in lines]
        np.testing.assert_allclose([event.value for event in shown], [line[name] for line in lines], rtol=1e-6)
    for line in lines:
        assert line["loss"] == pytest.approx(line["video"] + line["audio"])
        assert line["rate"] == trainer.config.rate(line["step"] - 1)
    gaps = np.diff([0, *(line["seconds"] for line in lines)])
    np.testing.assert_allclose([4 / line["examples_per_second"] for line in lines], gaps, atol=2e-3)


def test_samples_are_of_the_average_and_training_goes_on_with_the_weights(run):
    _, trainer, seen, _ = run
    assert len(seen) == 2
    assert torch.equal(seen[-1], trainer.average.values["head.head.weight"])
    assert not torch.equal(seen[-1], trainer.model.head.head.weight)
    assert trainer.model.training


def test_samples_lie_in_files_that_play(run):
    folder, *_ = run
    assert sorted(path.name for path in (folder / "run" / "samples").iterdir()) == ["step-00000003", "step-00000006"]
    with av.open(str(folder / "run" / "samples" / "step-00000003" / "clip.mp4")) as file:
        pictures = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
        assert file.streams.video[0].average_rate == 16
    with av.open(str(folder / "run" / "samples" / "step-00000003" / "clip.mp4")) as file:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    assert len(pictures) == FRAMES
    np.testing.assert_allclose([picture.mean() for picture in pictures], 40 + 10 * np.arange(FRAMES), atol=4)
    spectrum = np.abs(np.fft.rfft(sound[2048:10240]))
    assert spectrum.argmax() * RATE / 8192 == pytest.approx(500, abs=6)


def test_tensorboard_has_the_moving_picture_and_the_sound(run):
    *_, events = run
    pictures, sounds = events.Images("clip/video"), events.Audio("clip/audio")
    assert [event.step for event in pictures] == [event.step for event in sounds] == [3, 6]
    with Image.open(io.BytesIO(pictures[0].encoded_image_string)) as image:
        assert (image.format, image.n_frames, image.size) == ("GIF", FRAMES, (48, 32))
        means = []
        for number in range(FRAMES):
            image.seek(number)
            means.append(np.asarray(image.convert("RGB")).mean())
    np.testing.assert_allclose(means, 40 + 10 * np.arange(FRAMES), atol=4)
    assert sounds[0].sample_rate == RATE


def test_a_sound_at_another_rate_keeps_its_pitch(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 500 * np.arange(16_000) / 16_000)
    write_mp4(tmp_path / "a.mp4", Sample(clip().frames, tone.astype(np.float32), 16_000, "a"))
    with av.open(str(tmp_path / "a.mp4")) as file:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
        rate = file.streams.audio[0].rate
    assert np.abs(np.fft.rfft(sound[2048:10240])).argmax() * rate / 8192 == pytest.approx(500, abs=6)


def test_lines_that_will_be_written_again_or_were_cut_short_are_dropped(tmp_path):
    path = tmp_path / "log.jsonl"
    lines = [json.dumps({"step": step}) for step in (1, 2, 3, 4)]
    path.write_text("\n".join([*lines, '{"step": 5, "lo']))
    drop_lines_after(path, 9)
    assert path.read_text().splitlines() == lines
    drop_lines_after(path, 2)
    assert path.read_text().splitlines() == lines[:2]
