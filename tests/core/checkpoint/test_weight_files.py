"""The release's folder of shards: read as one checkpoint, joined into one file, or refused by the shard's name."""

import json
import shutil
import weakref
from contextlib import contextmanager
from itertools import accumulate, pairwise
from math import prod

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.parity.fixtures import ForwardCase, Golden
from tests.shards import COUNT, INDEX, shard_name, write_shards
from tests.toys import TINY, random_model
from uniavgen_core.checkpoint import weight_files as files
from uniavgen_core.checkpoint.checked_files import CheckpointError
from uniavgen_core.checkpoint.config_from_weights import NotUniAVGenError, config_from_shapes, metadata_of
from uniavgen_core.checkpoint.load_weights import load_model
from uniavgen_core.checkpoint.merge_and_cut import merge
from uniavgen_core.checkpoint.shard_sets import files_of, indexed_names
from uniavgen_core.checkpoint.weight_files import WeightFiles
from uniavgen_core.checkpoint.write_safetensors import ordered, write_stream


@pytest.fixture(scope="module")
def weights():
    """Float32 weights, with modulations of another width as in a release of mixed dtypes."""
    state = random_model(dtype=torch.float32).state_dict()
    return {name: tensor if "modulation" in name else tensor.bfloat16() for name, tensor in state.items()}


@pytest.fixture
def folder(tmp_path, weights):
    return write_shards(tmp_path / "UniAVGen", weights, metadata_of(TINY))


def merged(folder, **options):
    merge(folder, folder.parent / "merged.safetensors", **options)
    return folder.parent / "merged.safetensors"


def test_the_network_from_shards_and_from_the_merged_file_predicts_what_the_original_does(golden, tmp_path):
    stored = Golden(golden, "forward_f32")
    model = stored.model()
    folder = write_shards(tmp_path / "UniAVGen", model.state_dict(), metadata_of(model.config))
    case = ForwardCase(stored, next(iter(stored.info["cases"])))
    want = case.run(model)
    for path in (folder, folder / shard_name(2), merged(folder)):
        got = case.run(load_model(path))
        # Products depend on how weights lie in memory, and mapped ones lie otherwise, by their last bits.
        torch.testing.assert_close(got.video, want.video, rtol=0, atol=1e-5, msg=path.name)
        torch.testing.assert_close(got.audio, want.audio, rtol=0, atol=1e-5, msg=path.name)


def test_a_merged_file_holds_every_tensor_bit_for_bit_and_the_metadata(folder, weights):
    got = load_file(merged(folder))
    assert got.keys() == weights.keys()
    for name, tensor in weights.items():
        assert got[name].dtype == tensor.dtype, name
        assert torch.equal(got[name], tensor), name
    with safe_open(folder.parent / "merged.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", **metadata_of(TINY)}


def test_every_tensor_of_a_merged_file_begins_at_a_multiple_of_its_elements_size(folder):
    content = merged(folder).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    sizes = {"F32": 4, "BF16": 2}
    starts = {n: (8 + length + e["data_offsets"][0]) % sizes[e["dtype"]] for n, e in header.items() if "dtype" in e}
    assert set(starts.values()) == {0}


def test_merging_holds_one_tensor_and_one_open_shard_at_a_time(folder, monkeypatch):
    alive, most, open_now, open_counts = [], [], [], []
    read, opened = WeightFiles.tensors, files.opened

    def tracked(self, names=None):
        for name, tensor in read(self, names):
            tensor = tensor.clone()
            alive.append(weakref.ref(tensor))
            yield name, tensor
            del tensor
            most.append(sum(reference() is not None for reference in alive))

    @contextmanager
    def tracked_open(path):
        with opened(path) as file:
            open_now.append(path)
            open_counts.append(len(open_now))
            try:
                yield file
            finally:
                open_now.remove(path)

    monkeypatch.setattr(WeightFiles, "tensors", tracked)
    monkeypatch.setattr(files, "opened", tracked_open)
    merged(folder)
    assert len(alive) == len(WeightFiles(folder).entries)
    assert max(most) == 0, "a tensor outlives the moment when the next one is asked for"
    assert max(open_counts) == 1
    assert len(open_counts) < 5 * COUNT, "shards are opened in turn, not again for every tensor"


def test_shards_without_an_index_are_one_checkpoint(tmp_path, weights):
    folder = write_shards(tmp_path / "plain", weights, metadata_of(TINY), index=False)
    assert dict(WeightFiles(folder).tensors()).keys() == weights.keys()
    assert [path.name for path in files_of(folder)] == [shard_name(number) for number in (1, 2, 3)]


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("asked", ["folder", "shard"])
def test_a_missing_shard_is_named(tmp_path, weights, index, asked):
    folder = write_shards(tmp_path / "part", weights, metadata_of(TINY), index)
    (folder / shard_name(2)).unlink()
    path = folder if asked == "folder" else folder / shard_name(1)
    with pytest.raises(CheckpointError, match=f"1 of 3 shards are missing.*{shard_name(2)}"):
        load_model(path)


def test_a_shard_cut_short_is_named_with_its_size(folder):
    shard = folder / shard_name(3)
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=rf"{shard_name(3)} cannot be read.* {shard.stat().st_size} bytes"):
        load_model(folder)


def test_a_file_the_index_does_not_name_is_left_alone(folder, weights):
    save_file({"stray.weight": torch.zeros(2)}, folder / "diffusion_pytorch_model-extra.safetensors")
    assert WeightFiles(folder).entries.keys() == weights.keys()


def test_a_tensor_in_two_files_is_refused_with_both_names(tmp_path, weights):
    folder = write_shards(tmp_path / "twice", weights, metadata_of(TINY), index=False)
    for path in sorted(folder.iterdir()):  # no numbers, no index: all files of the folder count
        path.rename(folder / path.name.replace("-of-00003", ""))
    shutil.copy(
        folder / "diffusion_pytorch_model-00001.safetensors", folder / "diffusion_pytorch_model-00009.safetensors"
    )
    with pytest.raises(CheckpointError, match=r"is in diffusion_pytorch_model-00001.* and in .*-00009"):
        load_model(folder)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"weight_map": {}}', '{"weight_map": {"a": "../b.safetensors"}}'])
def test_an_index_that_is_none_is_named(folder, content):
    (folder / INDEX).write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=f"{INDEX} is not an index"):
        load_model(folder)


def test_a_folder_without_shards_says_what_it_should_hold(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no diffusion_pytorch_model\*\.safetensors"):
        load_model(tmp_path)


def test_a_foreign_folder_is_refused_as_another_model(tmp_path):
    folder = write_shards(tmp_path / "other", {f"decoder.{i}": torch.zeros(2) for i in range(6)}, None)
    for act in (load_model, merged):
        with pytest.raises(NotUniAVGenError, match="not a UniAVGen checkpoint"):
            act(folder)
    assert not (tmp_path / "merged.safetensors").exists()


def test_half_a_network_is_not_merged(folder):
    index = json.loads((folder / INDEX).read_text())
    kept = {name: file for name, file in index["weight_map"].items() if file != shard_name(3)}
    (folder / INDEX).write_text(json.dumps({"weight_map": kept}), encoding="utf-8")
    with pytest.raises((CheckpointError, NotUniAVGenError), match=r"missing|no tensor named"):
        merged(folder)


def test_merging_never_writes_over_what_it_reads_nor_over_a_file_unasked(folder):
    before = (folder / shard_name(1)).read_bytes()
    with pytest.raises(CheckpointError, match="one of the files to read"):
        merge(folder, folder / shard_name(1), replace=True)
    assert (folder / shard_name(1)).read_bytes() == before
    target = folder.parent / "merged.safetensors"
    target.write_bytes(b"mine")
    with pytest.raises(CheckpointError, match="is there already"):
        merged(folder)
    assert target.read_bytes() == b"mine"
    assert len(load_file(merged(folder, replace=True))) == len(WeightFiles(folder).entries)


def test_a_target_comfyui_would_not_list_is_refused(folder):
    with pytest.raises(CheckpointError, match=r"must end in \.safetensors"):
        merge(folder, folder.parent / "merged.bin")
    with pytest.raises(CheckpointError, match="There is no folder"):
        merge(folder, folder.parent / "nowhere" / "merged.safetensors")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    target = tmp_path / "old.safetensors"
    target.write_bytes(b"old")
    layout = ordered({"a": (torch.float32, (2,)), "b": (torch.float32, (2,))})
    two, three = torch.zeros(2), torch.zeros(3)
    for tensors, message in (
        ([("a", two)], "b is missing"),
        ([("a", two), ("b", three)], "b is .*not"),
        ([("a", two), ("a", two), ("b", two)], "a is .*not"),
        ([("a", two), ("b", two), ("c", two)], "c is .*not None"),
    ):
        with pytest.raises(ValueError, match=message):
            write_stream(target, layout, tensors, {}, lambda *_: None)
        assert [path.name for path in tmp_path.iterdir()] == ["old.safetensors"]
        assert target.read_bytes() == b"old"


def test_tensors_may_come_in_any_order(tmp_path):
    tensors = {"a": torch.arange(3, dtype=torch.uint8), "b": torch.arange(2.0)}
    layout = ordered({name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()})
    for name, order in {"one": "ab", "other": "ba"}.items():
        write_stream(tmp_path / name, layout, [(each, tensors[each]) for each in order], {}, lambda *_: None)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    assert load_file(tmp_path / "one")["b"].equal(tensors["b"])


def test_names_of_a_folder_are_known_without_reading_weights(folder, weights):
    assert indexed_names(folder) == set(weights)
    (folder / INDEX).unlink()
    (folder / shard_name(1)).write_bytes(b"")
    assert set(load_file(folder / shard_name(2))) <= indexed_names(folder) < set(weights)


def test_the_released_names_in_shards_give_the_released_geometry(golden, tmp_path):
    """Full-size shapes, without their data: headers over files with a hole where the numbers would be."""
    from uniavgen_core.config import RELEASED

    shapes = json.loads((golden / "state_dict_full.json").read_text())["shapes"]
    names = list(shapes)
    for number in range(1, COUNT + 1):
        shard = names[number - 1 :: COUNT]
        ends = list(accumulate((2 * prod(shapes[name]) for name in shard), initial=0))
        entries = {
            name: {"dtype": "BF16", "shape": shapes[name], "data_offsets": offsets}
            for name, offsets in zip(shard, pairwise(ends), strict=True)
        }
        header = json.dumps(entries).encode()
        with (tmp_path / shard_name(number)).open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            file.truncate(file.tell() + ends[-1])
    found = WeightFiles(tmp_path)
    assert config_from_shapes(found.shapes, found.metadata) == RELEASED
    assert sum(path.stat().st_size for path in found.files) > 14.1e9
