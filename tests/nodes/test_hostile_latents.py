"""Damaged and foreign files are no saved latents: each is refused by name, and none blocks the list of files."""

import errno
import json
import os
import re
from pathlib import Path

import folder_paths
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.nodes.saved_latents import OWN, clip, path_of
from tests.nodes.test_odd_folders import NO_FILES, choices, within_time
from tests.nodes.test_stock_nodes import differ, pictures_of  # noqa: F401 - a fixture
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL

ROOT = Path(__file__).parents[2]
LOADER = "UniAVGenLoadLatent"


@pytest.fixture
def refusal(latents):
    """Message with which a file of the input folder is refused, and the one before the workflow runs."""

    def run(path):
        with pytest.raises(ValueError, match=re.escape(path.name)) as raised:
            within_time(lambda: latents.nodes.LoadLatent.execute(path.name))
        message = str(raised.value)
        assert len(message) < 700, message
        early = within_time(lambda: latents.nodes.LoadLatent.validate_inputs(path.name))
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
def test_a_file_with_other_content_is_refused_before_anything_runs(latents, refusal, spoil, words):
    path = latents.folder / "input" / "odd.safetensors"
    path_of(latents.save(clip())[0]).replace(path)
    rewrite(path, **spoil)
    message, is_early = refusal(path)
    assert words in message
    assert is_early


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["samples__video", "noise_mask"])
def test_a_file_with_values_that_are_not_finite_is_refused(latents, refusal, name, value):
    path = latents.folder / "input" / "odd.safetensors"
    path_of(latents.save(clip())[0]).replace(path)
    shape = (1, 48, 3, 2, 4) if name == "samples__video" else (1, 1, 2, 4)
    rewrite(path, **{name: torch.full(shape, value)})
    assert "NaN or infinity" in refusal(path)[0]


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_a_file_that_is_cut_short_is_refused_before_anything_runs(latents, refusal, share):
    path, content = latents.folder / "input" / "half.safetensors", path_of(latents.save(clip())[0]).read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    message, is_early = refusal(path)
    assert "cannot be read as safetensors" in message
    assert is_early


def test_other_safetensors_are_refused_by_what_they_are(latents, refusal):
    path = latents.folder / "input" / "model.safetensors"
    path.write_bytes(BUNDLED_MODEL.read_bytes())
    assert "Choose a file that 'UniAVGen Save AV Latent' has saved" in refusal(path)[0]
    path.write_bytes(b"a picture, perhaps" * 100)
    assert "cannot be read as safetensors" in refusal(path)[0]


@pytest.mark.parametrize("ending", ["latent", "safetensors"])
def test_a_latent_of_comfyuis_own_node_is_sent_to_its_loader(latents, refusal, ending):
    import nodes

    saver = nodes.SaveLatent()
    saver.output_dir = folder_paths.get_output_directory()
    saver.save({"samples": torch.zeros(1, 4, 8, 8)}, "stock")
    (saved,) = latents.folder.rglob("*.latent")
    path = saved.replace(latents.folder / "input" / f"stock.{ending}")
    assert "load it with 'Load Latent'" in refusal(path)[0]


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/hosts", "..  [output]", "a\0b", "", " [output]"])
def test_a_choice_cannot_lead_out_of_the_folders(latents, name):
    (latents.folder / "outside.safetensors").write_bytes(b"")
    refused = latents.nodes.LoadLatent.validate_inputs(name)
    assert isinstance(refused, str)
    assert "hoose" in refused
    with pytest.raises(ValueError, match=re.escape(refused)):
        latents.nodes.LoadLatent.execute(name)


def test_a_file_that_is_gone_is_refused_by_name_before_anything_runs(latents):
    name, _ = latents.save(clip())
    path_of(name).unlink()
    assert latents.nodes.LoadLatent.validate_inputs(name) == (
        f"There is no file '{name}'. Press R to refresh the list, and choose another."
    )


@pytest.mark.parametrize("spoil", NO_FILES)
def test_what_is_no_file_is_not_listed_and_is_refused_by_name(pack, latents, refusal, spoil):
    name, _ = latents.save(clip())
    path = latents.folder / "input" / "odd.safetensors"
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
def test_nothing_in_the_folders_blocks_the_list_or_takes_the_nodes_away(pack, latents, spoil):
    name, _ = latents.save(clip())
    spoil(latents.folder / "output")
    spoil(latents.folder / "input")
    assert choices(pack, LOADER) == [name]


@pytest.fixture
def deep(latents):
    """A folder in the output folder with 1200 latents.folder, one in the other, which pytest could not remove."""
    top, inner = latents.folder / "output" / "f", latents.folder / "output" / "inner"
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
def test_folders_deep_in_each_other_take_no_node_away(pack, latents):
    name, _ = latents.save(clip())
    assert choices(pack, LOADER) == [name]


@pytest.mark.parametrize("gone", ["input", "output"])
def test_without_a_folder_the_others_files_are_listed_and_the_log_is_silent(pack, latents, gone, caplog):
    name, _ = latents.save(clip())
    if gone == "output":
        path_of(name).replace(latents.folder / "input" / "given.safetensors")
        name = "given.safetensors"
    (latents.folder / gone).rename(latents.folder / "away")
    assert choices(pack, LOADER) == [name]
    assert "cannot be listed" not in caplog.text


def test_a_folder_that_may_not_be_read_is_left_out_with_one_line_in_the_log(pack, latents, monkeypatch, caplog):
    name, _ = latents.save(clip())
    (latents.folder / "output" / "secret").mkdir()
    real = os.scandir

    def refuse(path):
        if str(path).endswith("secret"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert [choices(pack, LOADER) for _ in range(2)] == [[name]] * 2
    assert sum("secret cannot be listed" in record.getMessage() for record in caplog.records) == 1
