"""Saved latents come back bit for bit, and are listed where they were saved."""

import errno
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from comfy.nested_tensor import NestedTensor
from safetensors import safe_open

from tests.nodes.graphs import Graph
from tests.nodes.saved_latents import OWN, clip, masks, path_of, same
from tests.nodes.studio import moving_frames, video_of
from tests.nodes.test_odd_folders import choices
from tests.nodes.test_stock_nodes import differ, pictures_of  # noqa: F401 - a fixture
from tools.comfy_client import PromptRejectedError
from uniavgen_core.parallel.__main__ import write_latents

ROOT = Path(__file__).parents[2]
LOADER = "UniAVGenLoadLatent"


@pytest.mark.parametrize(
    "latent",
    [
        clip(),
        clip(3),
        clip(dtype=torch.float16),
        clip(2, torch.bfloat16, noise_mask=masks(2)),
        clip(noise_mask=masks(rows=2, columns=4)),
        clip(noise_mask=torch.rand(1, 1, 2, 4)),
        clip(noise_mask=None),
        clip(2, batch_index=[5, 0]),
        clip(depth=torch.arange(6).reshape(2, 3), flags=torch.tensor([True, False]), empty=torch.zeros(0, 3)),
        clip(pair=NestedTensor((torch.tensor(1.5), torch.zeros(2, dtype=torch.float64)))),
        clip(type="audio", sample_rate=24_000),
    ],
)
def test_a_latent_comes_back_bit_for_bit(latents, latent):
    name, told = latents.save(latent)
    loaded = latents.load(name)
    assert told == ""
    assert same(latent, loaded)


def test_parts_that_are_views_of_larger_tensors_are_stored_as_they_are_seen(latents):
    whole = torch.randn(80, 56, 1, 2)
    latent = {
        "samples": NestedTensor((torch.randn(1, 48, 3, 1, 1).expand(-1, -1, -1, 2, 2), whole.permute(3, 2, 1, 0)[1:]))
    }
    name, _ = latents.save(latent)
    assert same(latent, latents.load(name))
    assert path_of(name).stat().st_size < 40_000


def test_a_kept_and_a_sampled_clip_come_back_and_decode_alike(studio, latents):
    video = video_of(moving_frames(17, 64, 64), 16, studio.example()[1])
    positive, negative, latent, given = studio.task("dubbing", video=video).args
    assert same(latent, latents.load(latents.save(latent)[0]))
    assert latent["noise_mask"].unbind()[0].min() == 0
    sampled = studio.sample(positive, negative, latent)
    loaded = latents.load(latents.save(sampled)[0])
    for one, other in zip(studio.decode(sampled, given)[:2], studio.decode(loaded, given)[:2], strict=True):
        assert same(one, other)


def metadata_of(name):
    with safe_open(path_of(name), framework="pt") as file:
        return file.metadata()


def test_a_file_says_what_made_it_unless_comfyui_was_told_not_to(latents, studio, monkeypatch):
    values = SimpleNamespace(prompt={"1": {"class_type": "X"}}, extra_pnginfo={"workflow": {"nodes": []}})
    monkeypatch.setattr(latents.nodes.SaveLatent, "hidden", values)
    version = re.search(r'version = "(.+)"', (ROOT / "pyproject.toml").read_text())[1]
    for is_told_not_to in (False, True):
        monkeypatch.setattr(studio.nodes.host.media.saved_names.args, "disable_metadata", is_told_not_to)
        found = metadata_of(latents.save(clip())[0])
        own = json.loads(found.pop(OWN))
        assert (own["format"], own["pack"]) == (1, version)
        found.pop("format")
        made_by = {name: json.loads(text) for name, text in found.items()}
        assert made_by == ({} if is_told_not_to else {"prompt": values.prompt, **values.extra_pnginfo})


def test_a_workflow_that_no_header_can_hold_is_left_out_and_that_is_told(latents, monkeypatch):
    monkeypatch.setattr(
        latents.nodes.SaveLatent, "hidden", SimpleNamespace(prompt='"' * 10_000_000, extra_pnginfo=None)
    )
    name, told = latents.save(clip())
    assert "workflow is too large" in told
    assert same(clip(), latents.load(name))


def test_entries_that_no_file_can_hold_are_left_out_by_name(latents):
    odd = {"model": object(), "waves": torch.zeros(2, dtype=torch.complex64), "a.b": torch.zeros(1), "pair": (1, 2)}
    three = NestedTensor((torch.zeros(1), torch.zeros(1), torch.zeros(1)))
    name, told = latents.save(clip(type="audio", three=three, **odd))
    assert all(f"left out: {entry}." in told for entry in ("three", *odd))
    assert same(clip(type="audio"), latents.load(name))


def test_a_saved_latent_is_listed_without_copying_it_the_newest_first(pack, latents):
    assert choices(pack, LOADER) == []
    names = [latents.save(clip(), prefix)[0] for prefix in ("latents/uniavgen", "latents/uniavgen", "take%width%/a/b")]
    assert names == [
        "latents/uniavgen_00001_.safetensors [output]",
        "latents/uniavgen_00002_.safetensors [output]",
        "take64/a/b_00001_.safetensors [output]",
    ]
    (latents.folder / "input" / "given.safetensors").write_bytes(path_of(names[0]).read_bytes())
    (latents.folder / "output" / "picture.png").write_bytes(b"")
    for age, path in enumerate(map(path_of, (names[1], "given.safetensors", names[2], names[0]))):
        os.utime(path, ns=(0, 10**18 - age))
    assert choices(pack, LOADER) == [names[1], "given.safetensors", names[2], names[0]]


def test_a_file_is_loaded_again_once_it_was_replaced(latents):
    name, _ = latents.save(clip())
    before = latents.nodes.LoadLatent.fingerprint_inputs(name)
    assert latents.nodes.LoadLatent.fingerprint_inputs(name) == before
    other, _ = latents.save(clip(2))
    path_of(other).replace(path_of(name))
    assert latents.nodes.LoadLatent.fingerprint_inputs(name) != before
    unknown = latents.nodes.LoadLatent.fingerprint_inputs()
    assert unknown != unknown  # a linked name


def test_a_latent_in_use_survives_the_end_of_its_file(latents):
    name, _ = latents.save(clip())
    loaded = latents.load(name)
    with path_of(name).open("r+b") as file:
        file.write(b"\0" * path_of(name).stat().st_size)
    assert same(clip(), loaded)


def test_a_full_disk_is_named_and_leaves_no_file(pack, latents, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(pack.uniavgen_core.atomic_write, "force_to_disk", full)
    with pytest.raises(ValueError, match=r"The disk of .*latents is full: the latent needs 0\.0 MiB\. Free"):
        latents.save(clip())
    assert [path for path in latents.folder.rglob("*") if path.is_file()] == []


def test_a_folder_that_may_not_be_written_to_is_named(pack, latents, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(pack.uniavgen_core.atomic_write, "force_to_disk", refuse)
    with pytest.raises(ValueError, match=r"uniavgen_00001_\.safetensors cannot be written .*may write to this folder"):
        latents.save(clip())


def with_value(latent, value):
    latent["samples"].unbind()[1][0, 0, 7, 3] = value
    return latent


@pytest.mark.parametrize(
    ("latent", "message"),
    [
        ({"samples": torch.zeros(1, 48, 3, 2, 4)}, "not a UniAVGen latent of video and audio"),
        ({"samples": NestedTensor((torch.zeros(1, 16, 3, 2, 4), torch.zeros(1, 1, 56, 80)))}, "another model"),
        ({"samples": NestedTensor((torch.zeros(2, 48, 3, 2, 4), torch.zeros(1, 1, 56, 80)))}, "video of 2 clips"),
        ({"samples": NestedTensor((torch.zeros(1, 48, 0, 2, 4), torch.zeros(1, 1, 56, 80)))}, "its shapes are"),
        (with_value(clip(), float("nan")), r"its samples\.audio holds numbers that are not finite"),
        (with_value(clip(dtype=torch.float16), float("inf")), r"its samples\.audio holds numbers that are not finite"),
        (clip(noise_mask=torch.full((1, 1, 2, 4), float("nan"))), "its noise_mask holds numbers"),
        (clip(noise_mask=torch.zeros(4)), "no noise mask of a clip"),
        (clip(batch_index=[0, 1]), "batch_index is"),
    ],
)
def test_a_latent_that_could_not_be_loaded_again_is_not_saved(latents, latent, message):
    with pytest.raises(ValueError, match=message):
        latents.save(latent)
    assert [path for path in latents.folder.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("prefix", ["../away", "/etc/latent", "a\0b", "x" * 300])
def test_a_name_that_no_file_can_have_is_refused_before_anything_runs(latents, prefix):
    assert "filename_prefix" in latents.nodes.SaveLatent.validate_inputs(prefix)


def saved_on(server, pictures_of, graph):  # noqa: F811
    """Pictures of a graph, and the name under which its latent is then listed."""
    graph.add("UniAVGenSaveLatent", latent=graph.get("UniAVGenDecode", "latent"), filename_prefix="latents/served")
    pictures = pictures_of(graph)
    return pictures, server.object_info(LOADER)[LOADER]["input"]["required"]["latent_file"][1]["options"][0]


def sampled_on(graph, latent):
    """The graph, which decodes ``latent`` after half of the noise was added to it and taken away again."""
    settings = {"seed": 3, "steps": 4, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 0.5}
    links = {"model": graph.get("UniAVGenSampler", "model"), **graph.sampler_links()}
    return graph.set("UniAVGenDecode", latent=graph.add("KSampler", latent_image=latent, **links, **settings))


def test_in_a_server_a_saved_latent_is_listed_decodes_alike_and_can_be_sampled_on(server, pictures_of):  # noqa: F811
    pictures, name = saved_on(server, pictures_of, Graph())
    assert re.fullmatch(r"latents/served_\d{5}_\.safetensors \[output\]", name)
    again = Graph()
    assert not differ(pictures, pictures_of(again.replace_sampler(again.add(LOADER, latent_file=name))))

    direct, loaded = Graph(), Graph()
    expected = pictures_of(sampled_on(direct, direct.get("UniAVGenDecode", "latent")))
    assert differ(pictures, expected)
    assert not differ(expected, pictures_of(sampled_on(loaded, loaded.add(LOADER, latent_file=name))))


def test_in_a_server_a_replaced_file_is_loaded_again_and_a_damaged_one_refused_by_name(server, pictures_of):  # noqa: F811
    first, name = saved_on(server, pictures_of, Graph(steps=1))
    second, other = saved_on(server, pictures_of, Graph(steps=2))
    path, newer = (server.folder / "output" / one.removesuffix(" [output]") for one in (name, other))

    def loaded():
        graph = Graph()
        return pictures_of(graph.replace_sampler(graph.add(LOADER, latent_file=name)))

    assert not differ(loaded(), first)
    newer.replace(path)
    assert not differ(loaded(), second)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(PromptRejectedError, match=rf"{path.name} cannot be read as safetensors"):
        loaded()


def test_the_script_for_several_devices_writes_latents_that_load(pack, tmp_path):
    video, audio = clip()["samples"].unbind()
    write_latents(tmp_path / "latent.safetensors", (video, audio[:, 0]))
    loaded = pack.nodes.host.sampling.saved_latents.read_latent(tmp_path / "latent.safetensors", torch.device("cpu"))
    assert all(map(torch.equal, loaded["samples"].unbind(), (video, audio)))
