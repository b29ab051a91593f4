"""What training writes is whole or not there, wherever the process that writes it is killed."""

import hashlib

import pytest
import torch
from safetensors.torch import load_file

from tests.killed_writes import Writer, assert_never_half
from tests.training_toys import tiny_model
from uniavgen_core.training.checkpoints import Checkpoints
from uniavgen_core.training.data.clip_record import ClipRecord
from uniavgen_core.training.data.clip_store import find_clip, read_clip, read_index, write_clip, write_lines
from uniavgen_core.training.lora import LoraPlan, add_lora, save_lora
from uniavgen_core.training.sharded_tensors import read_shards, write_shards


def content(tensors):
    return {name: hashlib.sha256(value.numpy().tobytes()).hexdigest() for name, value in tensors.items()}


def record_of(version):
    return ClipRecord("a.mp4", f"caption {version}", "hello", "anna")


def clip_of(version):
    generator = torch.Generator().manual_seed(version)
    shapes = {"mel": (36, 80), "video": (48, 3, 2, 2), "caption": (4, 64)}
    return {name: torch.rand(shape, generator=generator).half() for name, shape in shapes.items()}


def write_encoded(folder, version):
    write_clip(folder, record_of(version), clip_of(version), cut=False)


def read_encoded(folder):
    found = [version for version in (1, 2) if find_clip(folder, record_of(version))]
    return [(version, content(read_clip(folder, record_of(version).name))) for version in found]


def write_index(folder, version):
    entry = write_clip(folder, record_of(1), clip_of(1), cut=version == 2)
    write_lines(folder / "index.jsonl", [entry])


def read_whole_index(folder):
    return read_index(folder)


def write_checkpoint(folder, version):
    def fill(partial):
        write_shards(partial / "average", clip_of(version))
        (partial / "trainer.json").write_text(f'{{"step": {version}}}')

    Checkpoints(folder, keep=2).save(version, fill)


def read_checkpoint(folder):
    newest = Checkpoints(folder, keep=2).newest()
    return newest and ((newest / "trainer.json").read_text(), content(read_shards(newest / "average")))


@pytest.fixture(scope="module")
def adapted():
    model, plan = tiny_model(), LoraPlan(rank=2, targets=("q",))
    add_lora(model, plan)
    return model, plan


@pytest.mark.parametrize(
    "writer",
    [
        Writer(write_encoded, read_encoded),
        Writer(write_index, read_whole_index),
        Writer(write_checkpoint, read_checkpoint),
    ],
    ids=["encoded clips", "indices", "checkpoints"],
)
def test_encoded_clips_indices_and_checkpoints(writer, tmp_path):
    assert_never_half(writer, tmp_path)


def test_adapters(adapted, tmp_path):
    model, plan = adapted

    def write(folder, version):
        weights = {name: torch.full_like(value, version) for name, value in model.state_dict().items()}
        save_lora(model, folder / "lora.safetensors", plan, weights)

    def read(folder):
        return content(load_file(folder / "lora.safetensors"))

    assert_never_half(Writer(write, read), tmp_path)
