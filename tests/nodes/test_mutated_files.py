"""Damaged files of every kind, hundreds of them, seeded: each loads cleanly or is refused by name, soon, in words."""

import random
import resource
import shutil
import threading
import zlib
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen2_5OmniToken2WavBigVGANModel

from tests.loaders import Loaders
from tests.mutations import json_value, safetensors_header, yaml_value
from tests.nodes.encoders import encoder, sentencepiece_model, write_comfyui, write_released
from tests.shards import INDEX, shard_name, write_shards
from tests.toys import TINY, random_model
from tests.vocos_folders import write_vocos
from tools.torture.byte_damage import BYTES
from uniavgen_core.bundled.bundled_files import BUNDLED_VIDEO_CODEC
from uniavgen_core.checkpoint.config_from_weights import metadata_of
from uniavgen_core.checkpoint.quantize_weights import QuantizeConfig, quantize
from uniavgen_core.config import BranchConfig

SLOW = {"bigvgan": 0.28, "bigvgan weights": 0.28}
"""Share of the cases for kinds that take longer, because transformers builds a network for each."""
MOST_SECONDS = 10
"""Seconds that one file may take, on a busy machine too."""
MOST_MEMORY = 1 << 30
"""Bytes by which the process may grow through all cases of a kind of file."""
SMALL = replace(
    TINY, video=BranchConfig(32, 64, 2), audio=BranchConfig(32, 64, 2), num_layers=2, num_interactions=1
)  # so that GGUF's blocks of 32 fit
TOKENIZER = "google/umt5-xxl/spiece.model"


def model(folder):
    network = random_model(SMALL, dtype=torch.float32)
    path = folder / "model.safetensors"
    save_file({name: weight.contiguous() for name, weight in network.state_dict().items()}, path, metadata_of(SMALL))
    return path


def scaled_fp8(folder):
    quantize(model(folder), folder / "fp8.safetensors", QuantizeConfig())
    return folder / "fp8.safetensors"


def gguf(folder):
    quantize(model(folder), folder / "packed.gguf", QuantizeConfig("Q8_0"))
    return folder / "packed.gguf"


def shards(folder):
    return write_shards(folder / "release", load_file(model(folder)), metadata_of(SMALL))


def pickled(folder, flat):
    torch.save(load_file(BUNDLED_VIDEO_CODEC), folder / "codec.pth", _use_new_zipfile_serialization=not flat)
    return folder / "codec.pth"


def codec(folder):
    return shutil.copy(BUNDLED_VIDEO_CODEC, folder / "codec.safetensors")


def bigvgan(folder):
    path = folder / "code2wav_bigvgan_model"
    with torch.random.fork_rng():
        kind = Qwen2_5OmniToken2WavBigVGANModel
        kind(kind.config_class(upsample_initial_channel=64)).save_pretrained(path)
    return path


def comfyui_encoder(folder):
    pieces = sentencepiece_model()
    return write_comfyui(folder / "umt5.safetensors", encoder(420), pieces)


def released_encoder(folder):
    return write_released(folder / "release", encoder(420), sentencepiece_model())


KINDS = {
    "model": ("model", model, "", (*BYTES, *[safetensors_header] * 8)),
    "scaled fp8": ("model", scaled_fp8, "", (*BYTES, *[safetensors_header] * 4)),
    "gguf": ("model", gguf, "", BYTES),
    "index": ("model", shards, INDEX, (*BYTES, *[json_value] * 6)),
    "shard": ("model", shards, shard_name(2), (*BYTES, safetensors_header)),
    "codec": ("codec", codec, "", (*BYTES, *[safetensors_header] * 4)),
    "pickle": ("codec", lambda folder: pickled(folder, flat=False), "", BYTES),
    "older pickle": ("codec", lambda folder: pickled(folder, flat=True), "", BYTES),
    "encoder": ("encoder", comfyui_encoder, "", (*BYTES, *[safetensors_header] * 4)),
    "vocabulary": ("encoder", released_encoder, TOKENIZER, BYTES),
    "vocos": ("vocos", lambda folder: write_vocos(folder / "vocos"), "config.yaml", (*BYTES, *[yaml_value] * 12)),
    "vocos weights": ("vocos", lambda folder: write_vocos(folder / "vocos"), "pytorch_model.bin", BYTES),
    "bigvgan": ("bigvgan", bigvgan, "config.json", (*BYTES, *[json_value] * 12)),
    "bigvgan weights": ("bigvgan", bigvgan, "model.safetensors", (*BYTES, safetensors_header)),
}
"""Kind of file: the part that loads it, how it is written, the file of a folder that is damaged, and how."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_loads_cleanly_or_is_refused_by_name(pack, tmp_path, kind, request):
    cases = round(request.config.getoption("damaged_files") * SLOW.get(kind, 1))
    part, write, name, mutations = KINDS[kind]
    loaders, path = Loaders(pack), write(tmp_path)
    damaged = _damaged_file(path, name)
    loaders.load(part, path)
    content, state = damaged.read_bytes(), {}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def run():
        for case in range(cases):
            state["case"] = case
            draw = random.Random(zlib.crc32(f"{kind} {case}".encode()))
            mutation = draw.choice(mutations)
            state["last"] = f"{kind}, case {case}, {mutation.__name__}"
            damaged.write_bytes(mutation(draw, content))
            _load(loaders, part, path)
        state["done"] = True

    errors = []
    thread = threading.Thread(target=lambda: _noted(run, errors), daemon=True)
    thread.start()
    _wait_from_case_to_case(thread, state)
    assert not errors, f"{state['last']}: {errors[0]!r}"
    assert state.get("done"), f"{state['last']}: it hangs"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < MOST_MEMORY


def _noted(run, errors):
    try:
        run()
    except BaseException as error:  # noqa: BLE001 - a panic of an extension is none of Exception's
        errors.append(error)


def _wait_from_case_to_case(thread, state):
    """Wait for the end of a thread, or for a case that takes too long."""
    last = None
    while thread.is_alive() and (case := state.get("case", 0)) != last:
        last = case
        thread.join(MOST_SECONDS)


def _damaged_file(path, name):
    if not name:
        return path
    return path / name if path.is_dir() else path.parent / name


def _load(loaders, part, path):
    """Load a file; what comes out has finite weights, what is refused is refused properly."""
    try:
        loaded = loaders.load(part, path)
    except Exception as error:  # noqa: BLE001 - judged below
        loaders.check(error, path)
        return
    network = {"model": "model", "codec": "first_stage_model", "encoder": "cond_stage_model"}.get(part)
    if network:
        weights = getattr(loaded, network).state_dict().values()
        assert all(bool(torch.isfinite(weight.float()).all()) for weight in weights if weight.is_floating_point())
