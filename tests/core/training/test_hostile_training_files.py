"""Hostile and damaged training data: refused by name, nothing in it is run, and nothing is written elsewhere."""

import io
import json
import pickle
import tarfile
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint.state_dict_saver import save

from tests.training_toys import TINY
from tools.torture.byte_damage import BYTES
from uniavgen_core.config import TextConfig
from uniavgen_core.training.checkpoint_weights import averaged_weights
from uniavgen_core.training.checkpoints import Checkpoints, find_fault, seal
from uniavgen_core.training.data.clip_form import ClipForm
from uniavgen_core.training.data.clip_record import BadClipError, ClipRecord, Offer, Skipped, parse_json, parse_record
from uniavgen_core.training.data.clip_sources import open_source
from uniavgen_core.training.data.clip_store import (
    claim_folder,
    clip_path,
    find_clip,
    read_index,
    write_clip,
    write_lines,
    write_null_caption,
)
from uniavgen_core.training.data.encoded_clips import load_source
from uniavgen_core.training.sharded_tensors import read_into, read_shards, write_shards

GOOD = {"path": "a.mp4", "caption": "A woman.", "transcript": "hello", "speaker": "anna"}
FORM = ClipForm((32, 32), fewest_frames=5)
CASES = 100
DEEP = "[" * 100_000
TEXT = TextConfig(caption_dim=TINY.text.caption_dim)


@pytest.mark.parametrize(
    "changes",
    [
        {"span": [0, 10**400]},
        {"span": [0, 1e300]},
        {"path": "\ud800.mp4"},
        {"path": "a\0b"},
        {"speaker": "\udcff"},
        {"transcript": ["hello"]},
        {"caption": {"a": 10**400}},
    ],
)
def test_a_hostile_field_is_named(changes):
    with pytest.raises(BadClipError, match="m, line 3: ") as caught:
        parse_record({**GOOD, **changes}, "m, line 3")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", [DEEP, '{"a": ' * 50_000, b"\xff\xfe{", "nul", "9" * 6000, ""])
def test_what_is_no_json_is_named(text):
    with pytest.raises(BadClipError, match="m, line 3: "):
        parse_json(text, "m, line 3")


@pytest.mark.parametrize("path", ["../../secret.mp4", "/etc/passwd", "x" * 5000, "a/" * 2000, "manifest.jsonl/x", "."])
def test_a_path_is_only_read_and_gives_a_name_within_the_folder(tmp_path, path):
    (tmp_path / "manifest.jsonl").write_text(json.dumps({**GOOD, "path": path}), encoding="utf-8")
    (job,) = open_source(str(tmp_path)).jobs
    (offer,) = job.clips()
    with pytest.raises(BadClipError):
        offer.decode(FORM)
    assert clip_path(tmp_path, offer.record.name).resolve().parent == (tmp_path / "clips").resolve()


def shard(tmp_path, *members):
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def offers_of(path):
    (job,) = open_source(str(path)).jobs
    return list(job.clips())


FIELDS = json.dumps({name: text for name, text in GOOD.items() if name != "path"}).encode()


def test_a_member_with_a_hostile_name_leaves_the_folder_as_it_was(tmp_path):
    names = ["../../up", "/abs/olute", "a\\..\\b", "x" * 300, "é\udcff"]
    members = [
        (f"{name}.{ending}", content) for name in names for ending, content in (("mp4", b"no"), ("json", FIELDS))
    ]
    found = offers_of(shard(tmp_path, *members))
    assert len(found) == len(names)
    for offer in found:
        if isinstance(offer, Offer):
            assert clip_path(tmp_path, offer.record.name).resolve().parent == (tmp_path / "clips").resolve()
            with pytest.raises(BadClipError, match="cannot be decoded"):
                offer.decode(FORM)
    write_lines(tmp_path / "skipped.jsonl", [one for one in found if isinstance(one, Skipped)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.tar", "skipped.jsonl"]


def test_links_and_devices_in_a_shard_are_left_out(tmp_path):
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo("a.mp4")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    assert offers_of(path) == []


def test_a_member_that_claims_more_than_its_shard_holds_is_refused_before_it_is_read(tmp_path):
    path = shard(tmp_path, ("a.json", FIELDS), ("a.mp4", b"x" * 600))
    with tarfile.open(path) as tar:
        info = tar.getmember("a.mp4")
    info.size = 2**45
    content = bytearray(path.read_bytes())
    content[info.offset : info.offset + 512] = info.tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(content)
    found = offers_of(path)
    assert "claims 35184372088832 bytes" in found[-1].message
    assert found[-1].reason == "damaged shard"


def test_a_packed_shard_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("a.mp4")
        info.size = 1 << 20
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    (skipped,) = offers_of(path)
    assert skipped.reason == "damaged shard"


def test_damaged_shards_give_clips_or_reasons(tmp_path):
    path = shard(tmp_path, *[(f"{key}.{kind}", FIELDS) for key in "abc" for kind in ("json", "mp4")])
    content = path.read_bytes()
    for case in range(CASES):
        random = Random(case)
        path.write_bytes(random.choice(BYTES)(random, content))
        for found in offers_of(path):
            if isinstance(found, Offer):
                with pytest.raises(BadClipError):
                    found.decode(FORM)
            else:
                assert path.name in found.message


@pytest.fixture
def encoded(tmp_path):
    """A folder of two encoded clips."""
    claim_folder(tmp_path, {"encoders": "bundled", "faces": "none"})
    generator = torch.Generator().manual_seed(0)
    shapes = {"mel": (36, 80), "video": (48, 3, 2, 2), "caption": (4, TEXT.caption_dim), "face": (3, 2, 2)}
    clips = []
    for name in ("a.mp4", "b.mp4"):
        tensors = {part: torch.rand(shape, generator=generator).half() for part, shape in shapes.items()}
        clips.append(write_clip(tmp_path, ClipRecord(name, "a", "hello\u2028there", "anna"), tensors, cut=False))
    write_null_caption(tmp_path, torch.zeros(1, TEXT.caption_dim))
    write_lines(tmp_path / "index.jsonl", clips)
    return tmp_path


def read_all(folder):
    source = load_source(folder, TEXT)
    return [source._read(number) for number in range(len(source))]


def test_a_whole_folder_is_read_also_where_a_transcript_has_unusual_line_ends(encoded):
    assert len(read_all(encoded)) == 2
    assert read_index(encoded)[0].record.transcript == "hello\u2028there"


def changed_line(folder, **changes):
    path = folder / "index.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")
    path.write_text("\n".join([json.dumps({**json.loads(lines[0]), **changes}), *lines[1:]]), encoding="utf-8")


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../../x"},
        {"name": "/etc/passwd"},
        {"latents": [48, 10**12, 2, 2]},
        {"latents": [48, 3]},
        {"latents": None},
        {"mel_frames": "36"},
        {"mel_frames": -1},
        {"caption_tokens": True},
        {"record": None},
        {"record": {**GOOD, "transcript": 3}},
    ],
)
def test_a_hostile_line_of_an_index_is_named(encoded, changes):
    changed_line(encoded, **changes)
    with pytest.raises(ValueError, match=r"index\.jsonl, line 1 is damaged"):
        read_all(encoded)


@pytest.mark.parametrize(
    "changes", [{"latents": [48, 10**6, 2, 2]}, {"mel_frames": 37}, {"caption_tokens": 9}, {"latents": [48, 3, 0, 0]}]
)
def test_sizes_in_the_index_that_are_not_those_of_the_file_are_refused_before_anything_is_made(encoded, changes):
    changed_line(encoded, **changes)
    with pytest.raises(ValueError, match=r"a-\w+\.safetensors is damaged: its tensors have other shapes"):
        read_all(encoded)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mel", None),
        ("mel", torch.zeros(36)),
        ("mel", torch.zeros(36, 40)),
        ("mel", torch.full((36, 80), torch.nan)),
        ("video", torch.zeros(48, 3, 2)),
        ("video", torch.zeros(16, 3, 2, 2)),
        ("face", torch.zeros(9, 9, 9)),
        ("caption", torch.zeros(4, 7)),
        ("caption", torch.zeros(4)),
    ],
)
def test_tensors_that_are_of_no_clip_are_refused_by_the_files_name(encoded, name, value):
    path = next(iter(sorted((encoded / "clips").iterdir())))
    tensors = load_file(path)
    del tensors[name]
    save_file(tensors if value is None else {**tensors, name: value}, path)
    with pytest.raises(ValueError, match=rf"{path.name} is damaged"):
        read_all(encoded)


def test_damaged_files_of_a_folder_are_refused_by_name_or_made_again(encoded):
    paths = [path for path in sorted(encoded.rglob("*")) if path.is_file()]
    content, whole = {path: path.read_bytes() for path in paths}, {clip.record: clip for clip in read_index(encoded)}
    for case in range(CASES):
        random = Random(case)
        path = random.choice(paths)
        path.write_bytes(random.choice(BYTES)(random, content[path]))
        try:
            read_all(encoded)
        except ValueError as error:
            assert path.name in str(error) or str(encoded) in str(error), str(error)  # noqa: PT017 - or it is read
        assert all(find_clip(encoded, record) in (None, clip) for record, clip in whole.items())
        path.write_bytes(content[path])
    assert len(read_all(encoded)) == 2


class Harm:
    """Makes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def checkpoint(tmp_path):
    def fill(partial):
        save_file({"model.a": torch.ones(2)}, partial / "model.safetensors")
        write_shards(partial / "average", {"a": torch.ones(2)})

    return Checkpoints(tmp_path, keep=2).save(3, fill)


def seal_again(checkpoint):
    """As whoever gives a hostile checkpoint away would."""
    (checkpoint / "manifest.json").unlink()
    seal(checkpoint)


def test_a_pickle_in_a_checkpoint_runs_no_code(checkpoint, tmp_path):
    target = tmp_path / "harm"
    (checkpoint / "average" / ".metadata").write_bytes(pickle.dumps(Harm(target)))
    seal_again(checkpoint)
    with pytest.raises(ValueError, match=r"average/\.metadata cannot be read: it refers to pathlib\.Path.*not run"):
        averaged_weights(checkpoint)
    assert not target.exists()


@pytest.mark.parametrize("module", ["torch.distributed.checkpoint.metadata", "torch", "collections", "pathlib"])
def test_a_pickle_reaches_no_function_through_a_module_that_metadata_needs(checkpoint, tmp_path, module):
    target = tmp_path / "harm"
    names = (module, "os.mkdir", str(target))
    module_name, function, argument = (b"\x8c" + bytes([len(text)]) + text.encode() for text in names)
    pickled = b"\x80\x04" + module_name + function + b"\x93" + argument + b"\x85R."
    (checkpoint / "average" / ".metadata").write_bytes(pickled)
    with pytest.raises(ValueError, match=rf"\.metadata cannot be read: it refers to {module}\.os\.mkdir.*not run"):
        read_shards(checkpoint / "average")
    assert not target.exists()


@pytest.mark.parametrize("harmful", [True, False])
def test_values_beside_tensors_run_no_code_and_plain_ones_are_read(tmp_path, harmful):
    folder, target = tmp_path / "shards", tmp_path / "harm"
    save({"a": torch.ones(2), "rates": Harm(target) if harmful else [0.1, 0.2]}, checkpoint_id=folder, no_dist=True)
    loaded = {"a": torch.zeros(2), "rates": [0.0, 0.0]}
    if harmful:
        with pytest.raises(
            ValueError, match=r"shards/\.metadata cannot be read: its value rates could run code; it was not run"
        ):
            read_into(folder, loaded)
    else:
        read_into(folder, loaded)
        assert loaded["rates"] == [0.1, 0.2]
    assert not target.exists()


def test_damaged_metadata_of_shards_is_refused_by_name(checkpoint):
    path = checkpoint / "average" / ".metadata"
    content = path.read_bytes()
    for case in range(CASES):
        random = Random(case)
        path.write_bytes(random.choice(BYTES)(random, content))
        try:
            read_shards(path.parent)
        except ValueError as error:
            assert str(path.parent) in str(error)  # noqa: PT017 - or it is read
    path.write_bytes(content)
    assert averaged_weights(checkpoint)["a"].tolist() == [1, 1]


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd"])
def test_a_manifest_that_names_files_elsewhere_is_a_fault(checkpoint, name):
    (checkpoint / "manifest.json").write_text(json.dumps({"files": {name: {"bytes": 1, "sha256": ""}}}))
    assert "outside" in find_fault(checkpoint)
    (checkpoint / "manifest.json").write_text(DEEP)
    assert "is not a manifest" in find_fault(checkpoint)


def test_weights_that_are_none_are_refused_by_name(checkpoint):
    (checkpoint / "model.safetensors").write_bytes(b"x" * 99)
    seal_again(checkpoint)
    with pytest.raises(ValueError, match=r"model\.safetensors cannot be read"):
        averaged_weights(checkpoint)


def resumed(folder, state):
    """A run of two steps whose checkpoint has another state, resumed."""
    from tests.core.training.trainer_program import main

    main(folder, {"steps": 1})
    (found,) = (folder / "run").glob("step-*")
    state(found)
    seal_again(found)
    main(folder, {"steps": 2})


def without_step(found):
    (found / "trainer.json").write_text("{}")


def with_other_shapes(found):
    tensors = load_file(found / "model.safetensors")
    save_file({name: torch.zeros(3) for name in tensors}, found / "model.safetensors")


def with_a_pickle(found):
    (found / "optimizer.bin").write_bytes(pickle.dumps(Harm(found.parent.parent / "harm")))


@pytest.mark.parametrize("state", [without_step, with_other_shapes, with_a_pickle])
def test_a_checkpoint_that_cannot_be_resumed_is_named_and_runs_no_code(tmp_path, state):
    with pytest.raises(ValueError, match=r"The checkpoint .*step-00000001 cannot be resumed: "):
        resumed(tmp_path, state)
    assert not (tmp_path / "harm").exists()
