"""Files made to freeze, crash or mislead the loaders: each is refused in words, by name, and soon."""

import builtins
import json
import pickle
import struct
import zipfile

import comfy.model_management
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.loaders import Loaders
from tests.vocos_folders import configure, write_vocos
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL, BUNDLED_VIDEO_CODEC
from uniavgen_core.checkpoint.checked_files import CheckpointError
from uniavgen_core.checkpoint.config_from_weights import KNOWN_TEXT_KEY, METADATA_KEY, PREVIEW_KEY
from uniavgen_core.checkpoint.finite_weights import READ_BY_NOTHING, is_finite
from uniavgen_core.checkpoint.own_sampling import SAMPLING_KEY
from uniavgen_core.checkpoint.quantize_weights import QuantizeConfig, quantize
from uniavgen_core.checkpoint.trained_on import TRAINED_KEY
from uniavgen_core.checkpoint.weight_files import WeightFiles

QUANTISED = "blocks.0.self_attn.q"
ADVICE = ("weights_only", "unpickl", "Traceback")
HUGE = 10**9


@pytest.fixture(scope="module")
def toon():
    return load_file(BUNDLED_MODEL), WeightFiles(BUNDLED_MODEL).metadata


@pytest.fixture
def loaders(pack):
    return Loaders(pack)


@pytest.fixture
def write(toon, tmp_path):
    """Write the bundled model with changed tensors or metadata."""

    def write(tensors=None, **metadata):
        path = tmp_path / "odd.safetensors"
        save_file({**toon[0], **(tensors or {})}, path, {**toon[1], **metadata})
        return path

    return write


@pytest.fixture(scope="module")
def gguf_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "toon.gguf"
    quantize(BUNDLED_MODEL, path, QuantizeConfig("Q8_0"))
    return path.read_bytes()


def config(toon, **changes):
    """The model's metadata with changed fields; ``part__field`` is nested."""
    values = json.loads(toon[1][METADATA_KEY])
    for name, value in changes.items():
        part, _, field = name.rpartition("__")
        (values.setdefault(part, {}) if part else values)[field] = value
    return json.dumps(values)


@pytest.mark.parametrize("name", ["blocks.99999999.x", f"audio_blocks.{HUGE}.x", "a2v_blocks.5000.q", "blocks.256.x"])
def test_a_tensor_of_a_layer_that_no_network_has_is_named(loaders, write, name):
    message = loaders.refusal("model", write({name: torch.zeros(1)}))
    assert name in message
    assert "256" in message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_layers", HUGE),
        ("num_layers", 7),
        ("num_interactions", HUGE),
        ("variant__half_window_frames", HUGE),
        ("variant__half_window_frames", "2"),
        ("variant__face_modulation", "yes"),
        ("text__position_scale", 0),
        ("text__position_scale", float("nan")),
        ("text__position_scale", float("inf")),
        ("text__position_scale", None),
        ("text__position_offset", 1e300),
        ("text__caption_length", HUGE),
        ("text__speech_blocks", HUGE),
        ("video__dim", HUGE),
        ("video__num_heads", 0),
        ("video__num_heads", 64),
        ("video__num_heads", "four"),
        ("audio__ffn_dim", [1]),
        ("placement", "everywhere"),
        ("placement", {}),
        ("variant", 3),
        ("video", None),
        ("time_dim", True),
        ("mel_bins", 80.5),
    ],
)
def test_metadata_that_cannot_be_are_named_with_the_field(loaders, write, toon, field, value):
    message = loaders.refusal("model", write(**{METADATA_KEY: config(toon, **{field: value})}))
    assert field.rpartition("__")[2] in message or str(value) in message


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (METADATA_KEY, "{"),
        (METADATA_KEY, "null"),
        (METADATA_KEY, "[" * 200_000),
        (METADATA_KEY, "9" * 5000),
        (TRAINED_KEY, "3"),
        (TRAINED_KEY, '{"min_frames": "a", "most_frames": 3}'),
        (TRAINED_KEY, '{"min_frames": 1, "most_frames": 3, "sizes": [3]}'),
        (TRAINED_KEY, '{"min_frames": 1, "most_frames": 3, "sizes": [["x", "y"]]}'),
        (TRAINED_KEY, '{"min_frames": 1, "most_frames": 3, "model": 5}'),
        (TRAINED_KEY, '{"min_frames": NaN, "most_frames": 3}'),
        (SAMPLING_KEY, '{"steps": 1000000000}'),
        (KNOWN_TEXT_KEY, '{"words": 3}'),
        (KNOWN_TEXT_KEY, '{"words": ["a"]}'),
        (KNOWN_TEXT_KEY, "nonsense"),
        (KNOWN_TEXT_KEY, '{"words": [1], "longest_voice_text": "x"}'),
        (PREVIEW_KEY, "[]"),
        (PREVIEW_KEY, '{"factors": [], "bias": []}'),
        (PREVIEW_KEY, '{"factors": 3, "color": 4}'),
        ("_quantization_metadata", "{"),
        ("_quantization_metadata", "{}"),
        ("_quantization_metadata", '{"layers": [1]}'),
        ("_quantization_metadata", '{"layers": {"blocks.0.self_attn.q": 3}}'),
        ("_quantization_metadata", '{"layers": {"blocks.0.self_attn.q": {"format": "int3"}}}'),
        ("_quantization_metadata", '{"layers": {"blocks.0.self_attn.q": {"format": "float8_e4m3fn"}}}'),
    ],
)
def test_metadata_of_another_form_are_named(loaders, write, key, text):
    message = loaders.refusal("model", write(**{key: text}))
    assert key in message or QUANTISED in message


def note(text):
    return torch.tensor(list(text.encode()), dtype=torch.uint8)


FP8 = {
    f"{QUANTISED}.weight": torch.zeros(128, 128, dtype=torch.float8_e4m3fn),
    f"{QUANTISED}.weight_scale": torch.ones(1),
    f"{QUANTISED}.comfy_quant": note('{"format": "float8_e4m3fn"}'),
}


def test_the_quantised_layer_of_the_next_test_loads_without_the_fault(loaders, write):
    assert loaders.load("model", write(FP8)) is not None


@pytest.mark.parametrize(
    "fault",
    [
        {"comfy_quant": note("{")},
        {"comfy_quant": note("null")},
        {"comfy_quant": note('{"format": null}')},
        {"comfy_quant": note('{"format": ["float8_e4m3fn"]}')},
        {"comfy_quant": note('{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": "x"}')},
        {"comfy_quant": torch.zeros(3)},
        {"comfy_quant": torch.zeros(2, 2, dtype=torch.uint8)},
        {"comfy_quant": note(" " * 100_000 + "{}")},
        {"weight": torch.zeros(3, dtype=torch.float8_e4m3fn)},
        {"weight": torch.zeros(128, 3, dtype=torch.float8_e4m3fn)},
        {"weight": torch.zeros(1, 128, dtype=torch.float8_e4m3fn)},
        {"weight": torch.zeros(128, 128)},
        {"weight_scale": torch.ones(7, 7)},
        {"weight_scale": torch.ones(1, dtype=torch.int64)},
        {"weight_scale": torch.full((1,), float("nan"))},
    ],
)
def test_a_quantised_layer_that_cannot_be_is_named(loaders, write, fault):
    changed = {f"{QUANTISED}.{name}": tensor for name, tensor in fault.items()}
    assert QUANTISED in loaders.refusal("model", write(FP8 | changed))


@pytest.mark.parametrize(
    "tensors",
    [
        {"patch_embedding.weight": torch.zeros(128)},
        {"blocks.0.ffn.0.weight": torch.zeros(())},
        {"text_embedding.text_embed.weight": torch.zeros(HUGE, 0)},
        {"blocks.0.self_attn.q.weight": torch.zeros(128, 128, dtype=torch.int64)},
        {"blocks.0.self_attn.q.weight": torch.zeros(128, 128, dtype=torch.complex64)},
        {"scaled_fp8": torch.zeros(2), "blocks.0.self_attn.q.scale_input": torch.zeros(3)},
    ],
)
def test_tensors_of_shapes_and_numbers_that_no_network_has_are_named(loaders, write, tensors):
    assert next(reversed(tensors)) in loaders.refusal("model", write(tensors))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_one_number_that_is_not_finite_is_found_in_model_and_codec(loaders, write, tmp_path, value, dtype):
    name = "audio_blocks.5.ffn.2.weight"
    weights = load_file(BUNDLED_MODEL)[name].to(dtype)
    weights[-1, -1] = value
    message = loaders.refusal("model", write({name: weights}))
    assert name in message
    assert "not finite" in message
    codec = load_file(BUNDLED_VIDEO_CODEC)
    name = max(codec, key=lambda name: codec[name].numel())
    codec[name] = codec[name].to(dtype)
    codec[name].view(-1)[3] = value
    save_file(codec, tmp_path / "codec.safetensors")
    assert name in loaders.refusal("codec", tmp_path / "codec.safetensors")


def test_a_block_whose_scale_is_not_finite_is_found_in_a_gguf_file(loaders, gguf_bytes, tmp_path):
    path = tmp_path / "odd.gguf"
    path.write_bytes(gguf_bytes[:-40] + struct.pack("<e", float("nan")) * 20)
    message = loaders.refusal("model", path)
    assert "not finite" in message


@pytest.mark.parametrize(
    "dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.float16, torch.bfloat16, torch.float64]
)
def test_the_fast_check_agrees_with_torchs_own_on_every_bit_pattern(dtype):
    size = min(dtype.itemsize, 2)
    patterns = torch.arange(256**size, dtype=torch.int32).to(torch.int16 if size == 2 else torch.uint8)
    numbers = patterns.view(dtype) if dtype.itemsize == size else patterns.view(torch.float16).to(dtype)
    want = torch.isfinite(numbers.float())
    assert [is_finite(number) for number in numbers.split(1)] == want.tolist()
    assert is_finite(numbers[want])


def test_a_tensor_that_nothing_reads_may_hold_anything(loaders, write):
    (name,) = READ_BY_NOTHING
    assert loaders.load("model", write({name: torch.full((160,), float("nan"))})) is not None


def gguf(entries=b"", kv=0, tensors=0, kv_count=None):
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, kv if kv_count is None else kv_count) + entries


def text(value):
    return struct.pack("<Q", len(value)) + value


def entry(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value


def described(value):
    return gguf(entry(b"uniavgen.metadata", 8, text(value)), 1)


@pytest.mark.parametrize(
    "content",
    [
        gguf(entry(b"a", 9, struct.pack("<IQ", 4, 1 << 40)), 1),
        gguf(entry(b"a", 9, struct.pack("<IQ", 8, 1 << 40)), 1),
        gguf(entry(b"a", 9, struct.pack("<IQ", 9, 3) + bytes(100)), 1),
        gguf(entry(b"a", 99, b""), 1),
        gguf(struct.pack("<Q", 1 << 62), 1),
        gguf(kv=1 << 60),
        gguf(tensors=1 << 60),
        gguf(text(b"a") + struct.pack("<I", 1 << 31), tensors=1),
        gguf(text(b"a") + struct.pack("<IQQIQ", 2, 1 << 40, 1 << 40, 0, 0) + bytes(64), tensors=1),
        gguf(text(b"a") + struct.pack("<IQIQ", 1, 4, 0, 1 << 50) + bytes(64), tensors=1),
        gguf(text(b"a") + struct.pack("<IQIQ", 1, 4, 77, 0) + bytes(64), tensors=1),
        gguf(entry(b"general.alignment", 4, struct.pack("<I", 0)), 1),
        gguf() + bytes(100),
        gguf()[:4] + struct.pack(">I", 3) + bytes(16),
        described(b"null"),
        described(b"[1]"),
        described(b'{"uniavgen_config": {"a": 1}}'),
        described(b"{"),
        gguf(entry(b"uniavgen.metadata", 4, struct.pack("<I", 3)), 1),
        b"",
        b"GG",
        b"GGUF",
    ],
)
def test_a_gguf_file_that_announces_what_it_does_not_hold_is_refused(loaders, tmp_path, content):
    path = tmp_path / "odd.gguf"
    path.write_bytes(content)
    loaders.refusal("model", path)


def test_a_gguf_shape_in_the_metadata_must_be_the_stored_ones(loaders, gguf_bytes, tmp_path):
    key = b"comfy.gguf.orig_shape.patch_embedding.weight"
    start = gguf_bytes.index(key) + len(key) + 4 + 4 + 8
    path = tmp_path / "odd.gguf"
    path.write_bytes(gguf_bytes[:start] + struct.pack("<i", HUGE) + gguf_bytes[start + 4 :])
    assert "patch_embedding.weight" in loaders.refusal("model", path)


class RunsCode:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


def flat(path, content):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def bare(path, content):
    path.write_bytes(pickle.dumps(content))


def compressed(path, content):
    torch.save(content, path)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


@pytest.mark.parametrize("suffix", ["pt", "pth", "bin", "ckpt"])
@pytest.mark.parametrize("save", [lambda path, content: torch.save(content, path), flat, bare])
@pytest.mark.parametrize("part", ["model", "codec", "encoder"])
def test_a_pickle_that_would_run_code_is_refused_without_advice_to_run_it(
    loaders, tmp_path, caplog, suffix, save, part
):
    path, ran = tmp_path / f"odd.{suffix}", tmp_path / "ran"
    save(path, {"a": RunsCode(builtins.open, (str(ran), "w"))})
    message = loaders.refusal(part, path)
    assert "run code" in message
    assert not ran.exists()
    assert not any(advice in caplog.text for advice in ADVICE)


@pytest.mark.parametrize(
    "content",
    [
        {"a": 1},
        {1: torch.zeros(3)},
        {"a": torch.zeros(1).expand(10**12)},
        {"a": torch.zeros(3).to_sparse()},
        {"a": torch.zeros(3, device="meta")},
        {f"a{number}": torch.zeros(1).expand(1) for number in range(3)} | {"b": [1]},
        {f"a{number}": shared for shared in [torch.zeros(100_000)] for number in range(100)},
        {"state_dict": torch.zeros(3, 3), "b": 1},
        {"a": RunsCode(bytearray, (1 << 40,))},
        torch.zeros(3),
        [],
        {},
    ],
)
@pytest.mark.parametrize("part", ["model", "codec", "encoder"])
def test_a_pickle_of_other_things_than_weights_is_refused(loaders, tmp_path, content, part):
    torch.save(content, tmp_path / "odd.pth")
    loaders.refusal(part, tmp_path / "odd.pth")


def test_a_compressed_archive_is_refused_before_it_unfolds(loaders, tmp_path):
    compressed(tmp_path / "odd.pth", {"a": torch.zeros(1 << 22)})
    assert (tmp_path / "odd.pth").stat().st_size < 1 << 20
    assert "compressed" in loaders.refusal("model", tmp_path / "odd.pth")


@pytest.mark.parametrize("part", ["model", "codec", "encoder"])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99, 0.9999])
@pytest.mark.parametrize("suffix", ["pth", "safetensors", "sft"])
def test_a_file_cut_short_is_named(loaders, tmp_path, part, share, suffix):
    path, tensors = tmp_path / f"cut.{suffix}", load_file(BUNDLED_VIDEO_CODEC)
    torch.save(tensors, path) if suffix == "pth" else save_file(tensors, path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    message = loaders.refusal(part, path)
    assert "fetch it again" in message.lower()


def test_a_codec_without_a_tensor_and_another_models_vae_are_refused(loaders, tmp_path):
    tensors, path = load_file(BUNDLED_VIDEO_CODEC), tmp_path / "codec.safetensors"
    gone = next(name for name in tensors if name.endswith("weight"))
    save_file({name: tensor for name, tensor in tensors.items() if name != gone}, path)
    assert gone in loaders.refusal("codec", path)
    wan21 = {"decoder.middle.0.residual.0.gamma": torch.zeros(3)}
    for others in ({}, {"decoder.upsamples.0.upsamples.0.residual.2.weight": torch.zeros(1)}):
        save_file(wan21 | others, path)
        assert "Wan2.2_VAE.pth" in loaders.refusal("codec", path)


BOMB = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10) if i else 'x'}]\n" for i in range(30))


@pytest.mark.parametrize(
    "content",
    [
        BOMB + "backbone: {class_path: *a29}\n",
        "backbone: &b {class_path: x}\nhead: *b\n",
        "a: &a {b: 1}\nc: {<<: *a}\n",
        "[" * 100_000,
        "a: " * 30_000,
        "x" * 10_000_000,
        "backbone: {class_path: !!python/object/apply:os.system ['true']}\n",
        "a: 9" + "9" * 5000,
    ],
)
def test_yaml_that_unfolds_or_never_ends_is_refused(loaders, tmp_path, content):
    folder = write_vocos(tmp_path / "vocos")
    (folder / "config.yaml").write_text(content)
    assert "config.yaml" in loaders.refusal("vocos", folder)


@pytest.mark.parametrize(
    ("part", "arguments"),
    [
        ("backbone", {"num_layers": 10**12}),
        ("backbone", {"num_layers": 4}),
        ("backbone", {"num_layers": 0}),
        ("backbone", {"num_layers": True}),
        ("backbone", {"dim": 10**12}),
        ("backbone", {"dim": 60_000, "intermediate_dim": 60_000}),
        ("backbone", {"intermediate_dim": "wide"}),
        ("backbone", {"layer_scale_init_value": float("nan")}),
        ("backbone", {"input_channels": [80]}),
        ("backbone", {"unknown": 3}),
        ("head", {"n_fft": 10**12}),
        ("head", {"n_fft": None}),
        ("head", {"hop_length": 10**12}),
        ("head", {"dim": -3}),
    ],
)
def test_sizes_of_a_vocos_that_its_weights_contradict_are_refused(loaders, tmp_path, part, arguments):
    folder = write_vocos(tmp_path / "vocos")
    configure(folder, part, **arguments)
    loaders.refusal("vocos", folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"upsample_rates": [1] * 100_000},
        {"upsample_rates": [1] * 100_000, "upsample_kernel_sizes": [3] * 100_000},
        {"upsample_rates": [240], "upsample_kernel_sizes": [10**12]},
        {"upsample_rates": [-5, -3, 2, 2, 2, 2]},
        {"upsample_rates": [5.0, 3, 2, 2, 2, 2]},
        {"upsample_rates": None},
        {"upsample_kernel_sizes": [11]},
        {"upsample_initial_channel": 10**12},
        {"upsample_initial_channel": 16_000},
        {"mel_dim": {}},
        {"resblock_kernel_sizes": [3] * 10_000},
        {"resblock_dilation_sizes": [[1, 10**12, 1]] * 3},
        {"resblock_dilation_sizes": [[[1]]]},
        {"resblock_dilation_sizes": [[1], [1], []]},
    ],
)
def test_sizes_of_a_bigvgan_that_no_vocoder_has_are_refused(loaders, tmp_path, changes):
    folder = tmp_path / "code2wav_bigvgan_model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2_5_omni_bigvgan", **changes}))
    save_file({"conv_pre.weight": torch.zeros(8, 80, 7)}, folder / "model.safetensors")
    loaders.refusal("bigvgan", folder)


def test_the_loaders_errors_are_of_one_family(loaders, tmp_path):
    path = tmp_path / "odd.safetensors"
    path.write_bytes(b"no")
    assert issubclass(loaders.error_of("model", path), loaders.family)
    assert CheckpointError.__name__ == loaders.family.__name__


@pytest.mark.parametrize("part", ["model", "codec", "encoder", "vocos"])
def test_cancel_stops_loading(loaders, tmp_path, part):
    path = {"model": BUNDLED_MODEL, "codec": BUNDLED_VIDEO_CODEC}.get(part) or loaders.good(part, tmp_path)
    comfy.model_management.interrupt_current_processing()
    try:
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            loaders.load(part, path)
    finally:
        comfy.model_management.interrupt_current_processing(False)
