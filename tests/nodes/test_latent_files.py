"""Saved latents come back bit for bit, are listed where they were saved, and damaged or foreign files are refused."""

import errno
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import folder_paths
import pytest
import torch
from comfy.nested_tensor import NestedTensor
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.nodes.graphs import Graph
from tests.nodes.studio import moving_frames, notices_of, video_of
from tests.nodes.test_odd_folders import NO_FILES, choices, within_time
from tests.nodes.test_stock_nodes import differ, pictures_of  # noqa: F401 - a fixture
from tools.comfy_client import PromptRejectedError
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL

ROOT = Path(__file__).parents[2]
LOADER = "UniAVGenLoadLatent"
OWN = "uniavgen_latent"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Empty input and output folders."""
    for name in ("input", "output"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(folder_paths, f"{name}_directory", str(tmp_path / name))
    return tmp_path


@pytest.fixture
def files(studio):
    return studio.nodes.latent_files


@pytest.fixture
def save(files):
    """Run the node; gives the name that the loader takes, and what the node told."""

    def run(latent, prefix="latents/uniavgen"):
        output = files.SaveLatent.execute(latent, prefix)
        return output.args[0], notices_of(output)

    return run


@pytest.fixture
def load(files):
    def run(name):
        assert files.LoadLatent.validate_inputs(name) is True
        return files.LoadLatent.execute(name).args[0]

    return run


def path_of(name):
    return Path(folder_paths.get_annotated_filepath(name))


def clip(clips=1, dtype=torch.float32, **entries):
    """A LATENT of random video and audio, 32x64 pixels and 9 frames long."""
    generator = torch.Generator().manual_seed(clips)
    video = torch.randn(clips, 48, 3, 2, 4, generator=generator).to(dtype)
    audio = torch.randn(clips, 1, 56, 80, generator=generator).to(dtype)
    return {"samples": NestedTensor((video, audio)), **entries}


def masks(clips=1, rows=1, columns=1):
    return NestedTensor((torch.rand(clips, 1, 3, rows, columns), torch.rand(clips, 1, 56, 1)))


def same(one, other):
    """True if two values are equal bit for bit."""
    if isinstance(one, NestedTensor):
        return isinstance(other, NestedTensor) and same(one.unbind(), other.unbind())
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


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
def test_a_latent_comes_back_bit_for_bit(save, load, latent):
    name, told = save(latent)
    loaded = load(name)
    assert told == ""
    assert same(latent, loaded)


def test_parts_that_are_views_of_larger_tensors_are_stored_as_they_are_seen(save, load):
    whole = torch.randn(80, 56, 1, 2)
    latent = {
        "samples": NestedTensor((torch.randn(1, 48, 3, 1, 1).expand(-1, -1, -1, 2, 2), whole.permute(3, 2, 1, 0)[1:]))
    }
    name, _ = save(latent)
    assert same(latent, load(name))
    assert path_of(name).stat().st_size < 40_000


def test_a_kept_and_a_sampled_clip_come_back_and_decode_alike(studio, save, load):
    video = video_of(moving_frames(17, 64, 64), 16, studio.example()[1])
    positive, negative, latent, given = studio.task("dubbing", video=video).args
    assert same(latent, load(save(latent)[0]))
    assert latent["noise_mask"].unbind()[0].min() == 0
    sampled = studio.sample(positive, negative, latent)
    loaded = load(save(sampled)[0])
    for one, other in zip(studio.decode(sampled, given)[:2], studio.decode(loaded, given)[:2], strict=True):
        assert same(one, other)


def metadata_of(name):
    with safe_open(path_of(name), framework="pt") as file:
        return file.metadata()


def test_a_file_says_what_made_it_unless_comfyui_was_told_not_to(files, studio, save, monkeypatch):
    values = SimpleNamespace(prompt={"1": {"class_type": "X"}}, extra_pnginfo={"workflow": {"nodes": []}})
    monkeypatch.setattr(files.SaveLatent, "hidden", values)
    version = re.search(r'version = "(.+)"', (ROOT / "pyproject.toml").read_text())[1]
    for is_told_not_to in (False, True):
        monkeypatch.setattr(studio.nodes.save_video.args, "disable_metadata", is_told_not_to)
        found = metadata_of(save(clip())[0])
        own = json.loads(found.pop(OWN))
        assert (own["format"], own["pack"]) == (1, version)
        found.pop("format")
        made_by = {name: json.loads(text) for name, text in found.items()}
        assert made_by == ({} if is_told_not_to else {"prompt": values.prompt, **values.extra_pnginfo})


def test_a_workflow_that_no_header_can_hold_is_left_out_and_that_is_told(files, save, load, monkeypatch):
    monkeypatch.setattr(files.SaveLatent, "hidden", SimpleNamespace(prompt='"' * 10_000_000, extra_pnginfo=None))
    name, told = save(clip())
    assert "workflow is too large" in told
    assert same(clip(), load(name))


def test_entries_that_no_file_can_hold_are_left_out_by_name(save, load):
    odd = {"model": object(), "waves": torch.zeros(2, dtype=torch.complex64), "a.b": torch.zeros(1), "pair": (1, 2)}
    three = NestedTensor((torch.zeros(1), torch.zeros(1), torch.zeros(1)))
    name, told = save(clip(type="audio", three=three, **odd))
    assert all(f"left out: {entry}." in told for entry in ("three", *odd))
    assert same(clip(type="audio"), load(name))


def test_a_saved_latent_is_listed_without_copying_it_the_newest_first(pack, save, folders):
    assert choices(pack, LOADER) == []
    names = [save(clip(), prefix)[0] for prefix in ("latents/uniavgen", "latents/uniavgen", "take%width%/a/b")]
    assert names == [
        "latents/uniavgen_00001_.safetensors [output]",
        "latents/uniavgen_00002_.safetensors [output]",
        "take64/a/b_00001_.safetensors [output]",
    ]
    (folders / "input" / "given.safetensors").write_bytes(path_of(names[0]).read_bytes())
    (folders / "output" / "picture.png").write_bytes(b"")
    for age, path in enumerate(map(path_of, (names[1], "given.safetensors", names[2], names[0]))):
        os.utime(path, ns=(0, 10**18 - age))
    assert choices(pack, LOADER) == [names[1], "given.safetensors", names[2], names[0]]


def test_a_file_is_loaded_again_once_it_was_replaced(files, save):
    name, _ = save(clip())
    before = files.LoadLatent.fingerprint_inputs(name)
    assert files.LoadLatent.fingerprint_inputs(name) == before
    other, _ = save(clip(2))
    path_of(other).replace(path_of(name))
    assert files.LoadLatent.fingerprint_inputs(name) != before
    unknown = files.LoadLatent.fingerprint_inputs()
    assert unknown != unknown  # a linked name


def test_a_latent_in_use_survives_the_end_of_its_file(save, load):
    name, _ = save(clip())
    loaded = load(name)
    with path_of(name).open("r+b") as file:
        file.write(b"\0" * path_of(name).stat().st_size)
    assert same(clip(), loaded)


def test_a_full_disk_is_named_and_leaves_no_file(pack, save, folders, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(pack.uniavgen_core.atomic_write, "force_to_disk", full)
    with pytest.raises(ValueError, match=r"The disk of .*latents is full: the latent needs 0\.0 MiB\. Free"):
        save(clip())
    assert [path for path in folders.rglob("*") if path.is_file()] == []


def test_a_folder_that_may_not_be_written_to_is_named(pack, save, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(pack.uniavgen_core.atomic_write, "force_to_disk", refuse)
    with pytest.raises(ValueError, match=r"uniavgen_00001_\.safetensors cannot be written .*may write to this folder"):
        save(clip())


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
def test_a_latent_that_could_not_be_loaded_again_is_not_saved(save, folders, latent, message):
    with pytest.raises(ValueError, match=message):
        save(latent)
    assert [path for path in folders.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("prefix", ["../away", "/etc/latent", "a\0b", "x" * 300])
def test_a_name_that_no_file_can_have_is_refused_before_anything_runs(files, prefix):
    assert "filename_prefix" in files.SaveLatent.validate_inputs(prefix)


@pytest.fixture
def refusal(files):
    """Message with which a file of the input folder is refused, and the one before the workflow runs."""

    def run(path):
        with pytest.raises(ValueError, match=re.escape(path.name)) as raised:
            within_time(lambda: files.LoadLatent.execute(path.name))
        message = str(raised.value)
        assert len(message) < 700, message
        early = within_time(lambda: files.LoadLatent.validate_inputs(path.name))
        assert early in (message, True), early
        return message, early is not True

    return run


def rewrite(path, drop=(), metadata=None, **tensors):
    """Change tensors (``samples__video``) and metadata of a saved file."""
    changed = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    kept = {name: tensor for name, tensor in load_file(path).items() if name not in drop}
    with safe_open(path, framework="pt") as file:
        found = {**file.metadata(), **(metadata or {})}
    save_file({**kept, **changed}, path, {name: text for name, text in found.items() if text is not None})


def own(**changes):
    return {"metadata": {OWN: json.dumps({"format": 1, "pack": "0.1.0", "values": {}, **changes})}}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ({"samples__video": torch.zeros(1, 16, 3, 2, 4)}, "its shapes are"),
        ({"samples__video": torch.zeros(48, 3, 2, 4)}, "its shapes are"),
        ({"samples__video": torch.zeros(1, 48, 3, 0, 4)}, "its shapes are"),
        ({"samples__audio": torch.zeros(1, 1, 56, 79)}, "its shapes are"),
        ({"samples__audio": torch.zeros(2, 1, 56, 80)}, "the audio of 2"),
        ({"samples__audio": torch.zeros(1, 1, 56, 80, dtype=torch.int64)}, "not as floating-point"),
        ({"samples__audio": torch.zeros(1, 1, 56, 80).to(torch.float8_e4m3fn)}, "not as floating-point"),
        ({"samples__audio": torch.zeros(1, 1, 56, 80, dtype=torch.complex64)}, "dtype"),
        ({"drop": ["samples.audio"]}, "samples.audio are missing or belong"),
        ({"drop": ["samples.audio", "samples.video"]}, "its shapes are"),
        ({"samples__third": torch.zeros(1)}, "samples.third are missing or belong"),
        ({"samples": torch.zeros(1)}, "samples are missing or belong"),
        ({"x__video__audio": torch.zeros(1)}, "are missing or belong"),
        ({"noise_mask": torch.zeros(1, 1, 1, 1, 1, 1)}, "is no noise mask"),
        ({"noise_mask": torch.zeros(0, 4)}, "is no noise mask"),
        ({"noise_mask": torch.zeros(2, 4, dtype=torch.bool)}, "is no noise mask"),
        ({"noise_mask__video": torch.zeros(1, 3, 2, 4), "noise_mask__audio": torch.zeros(3)}, "noise_mask.audio has"),
        (
            {"noise_mask__video": torch.zeros(2, 4), "noise_mask__audio": torch.zeros(1, 1, 1, 1, 1)},
            "noise_mask.audio has",
        ),
        ({"metadata": {OWN: None}}, "no latent of video and audio"),
        ({"metadata": {OWN: "["}}, OWN),
        ({"metadata": {OWN: "[" * 100_000}}, OWN),
        ({"metadata": {OWN: "{}"}}, OWN),
        (own(format=2, pack="9.9"), "newer version of this pack (9.9"),
        (own(format="1"), OWN),
        (own(values=[]), OWN),
        (own(values={"noise_mask": 3}), "noise_mask is no tensor"),
        (own(values={"batch_index": [10**12]}), "batch_index is [1000000000000]"),
        (own(values={"batch_index": [-1]}), "batch_index"),
        (own(values={"batch_index": [True]}), "batch_index"),
        (own(values={"batch_index": [0] * 100_000}), "batch_index"),
        (own(values={"batch_index": 0}), "batch_index"),
    ],
)
def test_a_file_with_other_content_is_refused_before_anything_runs(save, folders, refusal, spoil, words):
    path = folders / "input" / "odd.safetensors"
    path_of(save(clip())[0]).replace(path)
    rewrite(path, **spoil)
    message, is_early = refusal(path)
    assert words in message
    assert is_early


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["samples__video", "noise_mask"])
def test_a_file_with_values_that_are_not_finite_is_refused(save, folders, refusal, name, value):
    path = folders / "input" / "odd.safetensors"
    path_of(save(clip())[0]).replace(path)
    shape = (1, 48, 3, 2, 4) if name == "samples__video" else (1, 1, 2, 4)
    rewrite(path, **{name: torch.full(shape, value)})
    assert "NaN or infinity" in refusal(path)[0]


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_a_file_that_is_cut_short_is_refused_before_anything_runs(save, folders, refusal, share):
    path, content = folders / "input" / "half.safetensors", path_of(save(clip())[0]).read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    message, is_early = refusal(path)
    assert "cannot be read as safetensors" in message
    assert is_early


def test_other_safetensors_are_refused_by_what_they_are(folders, refusal):
    path = folders / "input" / "model.safetensors"
    path.write_bytes(BUNDLED_MODEL.read_bytes())
    assert "Choose a file that 'UniAVGen Save AV Latent' has saved" in refusal(path)[0]
    path.write_bytes(b"a picture, perhaps" * 100)
    assert "cannot be read as safetensors" in refusal(path)[0]


@pytest.mark.parametrize("ending", ["latent", "safetensors"])
def test_a_latent_of_comfyuis_own_node_is_sent_to_its_loader(folders, refusal, ending):
    import nodes

    saver = nodes.SaveLatent()
    saver.output_dir = folder_paths.get_output_directory()
    saver.save({"samples": torch.zeros(1, 4, 8, 8)}, "stock")
    (saved,) = folders.rglob("*.latent")
    path = saved.replace(folders / "input" / f"stock.{ending}")
    assert "load it with 'Load Latent'" in refusal(path)[0]


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/hosts", "..  [output]", "a\0b", "", " [output]"])
def test_a_choice_cannot_lead_out_of_the_folders(files, folders, name):
    (folders / "outside.safetensors").write_bytes(b"")
    refused = files.LoadLatent.validate_inputs(name)
    assert isinstance(refused, str)
    assert "hoose" in refused
    with pytest.raises(ValueError, match=re.escape(refused)):
        files.LoadLatent.execute(name)


def test_a_file_that_is_gone_is_refused_by_name_before_anything_runs(files, save):
    name, _ = save(clip())
    path_of(name).unlink()
    assert files.LoadLatent.validate_inputs(name) == (
        f"There is no file '{name}'. Press R to refresh the list, and choose another."
    )


@pytest.mark.parametrize("spoil", NO_FILES)
def test_what_is_no_file_is_not_listed_and_is_refused_by_name(pack, save, folders, refusal, spoil):
    name, _ = save(clip())
    path = folders / "input" / "odd.safetensors"
    spoil(path)
    assert choices(pack, LOADER) == [name]
    refusal(path)


def links_that_never_end(folder):
    for number in range(3):
        (folder / f"again{number}").symlink_to(folder, target_is_directory=True)


def link_out_of_the_folder(folder):
    (folder.parent / "elsewhere.safetensors").write_bytes(b"")
    (folder / "link.safetensors").symlink_to(folder.parent / "elsewhere.safetensors")


def name_that_is_no_text(folder):
    """A name that is not UTF-8, under which the library for safetensors opens no file."""
    (folder / os.fsdecode(b"odd \xff.safetensors")).write_bytes(b"")


@pytest.mark.parametrize("spoil", [links_that_never_end, link_out_of_the_folder, name_that_is_no_text])
def test_nothing_in_the_folders_blocks_the_list_or_takes_the_nodes_away(pack, save, folders, spoil):
    name, _ = save(clip())
    spoil(folders / "output")
    spoil(folders / "input")
    assert choices(pack, LOADER) == [name]


@pytest.fixture
def deep(folders):
    """A folder in the output folder with 1200 folders, one in the other, which pytest could not remove."""
    top, inner = folders / "output" / "f", folders / "output" / "inner"
    top.mkdir()
    for _ in range(1200):
        top.rename(inner)
        top.mkdir()
        inner.rename(top / "f")
    yield top
    while (top / "f").exists():
        (top / "f").rename(inner)
        top.rmdir()
        inner.rename(top)


@pytest.mark.usefixtures("deep")
def test_folders_deep_in_each_other_take_no_node_away(pack, save):
    name, _ = save(clip())
    assert choices(pack, LOADER) == [name]


@pytest.mark.parametrize("gone", ["input", "output"])
def test_without_a_folder_the_others_files_are_listed_and_the_log_is_silent(pack, save, folders, gone, caplog):
    name, _ = save(clip())
    if gone == "output":
        path_of(name).replace(folders / "input" / "given.safetensors")
        name = "given.safetensors"
    (folders / gone).rename(folders / "away")
    assert choices(pack, LOADER) == [name]
    assert "cannot be listed" not in caplog.text


def test_a_folder_that_may_not_be_read_is_left_out_with_one_line_in_the_log(pack, save, folders, monkeypatch, caplog):
    name, _ = save(clip())
    (folders / "output" / "secret").mkdir()
    real = os.scandir

    def refuse(path):
        if str(path).endswith("secret"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert [choices(pack, LOADER) for _ in range(2)] == [[name]] * 2
    assert sum("secret cannot be listed" in record.getMessage() for record in caplog.records) == 1


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
