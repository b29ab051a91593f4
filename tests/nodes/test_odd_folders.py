"""Model folders with anything in them: the loaders still offer what is good, nothing is raised, and nothing blocks."""

import asyncio
import json
import os
import threading

import folder_paths
import pytest
from safetensors.torch import load_file, save_file

from tests.shards import INDEX, shard_name, write_shards
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL
from uniavgen_core.checkpoint.weight_files import WeightFiles

HANG_SECONDS = 60
FOLDERS = ("diffusion_models", "text_encoders", "vae", "vocoders", "whisper", "audio_encoders")


@pytest.fixture(scope="module")
def toon():
    return load_file(BUNDLED_MODEL), WeightFiles(BUNDLED_MODEL).metadata


@pytest.fixture
def models(tmp_path, monkeypatch):
    """An empty folder for each kind of model."""
    known = dict(folder_paths.folder_names_and_paths)
    for name in FOLDERS:
        (tmp_path / name).mkdir()
        known[name] = ([str(tmp_path / name)], known.get(name, ([], set()))[1])
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", known)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return tmp_path / "diffusion_models"


@pytest.fixture
def release(models, toon):
    """The bundled model as a folder of shards without an index."""
    return write_shards(models / "UniAVGen", *toon, index=False)


def within_time(work):
    """Result or error of some work; fails the test if it blocks."""
    done = []

    def run():
        try:
            done.append((work(), None))
        except Exception as error:  # noqa: BLE001 - raised again below
            done.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(HANG_SECONDS)
    assert done, "it blocks"
    result, error = done[0]
    if error is not None:
        raise error
    return result


def schemas(pack):
    """The schemas of all nodes, as ComfyUI asks for them when it starts."""

    def run():
        extension = asyncio.run(pack.nodes.comfy_entrypoint())
        return {node.define_schema().node_id: node.GET_SCHEMA() for node in asyncio.run(extension.get_node_list())}

    return within_time(run)


def choices(pack, node="UniAVGenLoadModel"):
    return schemas(pack)[node].inputs[0].options


def broken_link(path):
    path.unlink(missing_ok=True)
    path.symlink_to(path.with_name("gone") / path.name)


def link_in_a_circle(path):
    path.unlink(missing_ok=True)
    path.symlink_to(path)


def pipe(path):
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def folder_in_its_place(path):
    path.unlink(missing_ok=True)
    path.mkdir()


def nothing_in_it(path):
    path.write_bytes(b"")


def nested_deep(path):
    path.write_text('{"weight_map": ' + "[" * 200_000 + "]" * 200_000 + "}")


def not_text(path):
    path.write_bytes(bytes(range(128, 256)))


def far_too_large(path):
    with path.open("wb") as file:
        file.truncate(1 << 36)


NO_FILES = [broken_link, link_in_a_circle, pipe, folder_in_its_place]
ODDITIES = [*NO_FILES, nothing_in_it, nested_deep, not_text, far_too_large]


@pytest.mark.parametrize("spoil", ODDITIES)
@pytest.mark.parametrize("name", [shard_name(2), INDEX])
def test_no_file_in_a_folder_of_shards_takes_the_nodes_away(pack, release, spoil, name):
    spoil(release / name)
    assert "bundled_toon" in choices(pack)
    assert len(schemas(pack)) == len(pack.nodes.NODES)


@pytest.mark.parametrize("spoil", ODDITIES)
@pytest.mark.parametrize("name", [shard_name(2), INDEX])
def test_loading_such_a_folder_says_which_file_is_wrong(pack, release, spoil, name):
    spoil(release / name)
    with pytest.raises(ValueError, match=name.replace(".", r"\.")) as raised:
        within_time(lambda: pack.nodes.host.model.load_model.load_uniavgen(str(release)))
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize("spoil", ODDITIES)
def test_a_folder_of_which_too_little_can_be_read_is_left_out_with_one_line_in_the_log(
    pack, models, toon, spoil, caplog
):
    folder = write_shards(models / "half", *toon, index=False)
    for number in (2, 3):
        spoil(folder / shard_name(number))
    assert "half/ (folder)" not in choices(pack)
    assert "half/ (folder)" not in choices(pack)
    lines = [record.getMessage() for record in caplog.records if "is not offered" in record.getMessage()]
    assert len(lines) == 1
    assert shard_name(2) in lines[0]


def test_a_file_that_may_not_be_read_takes_no_node_away(pack, release, monkeypatch):
    """The error of permissions is raised by hand, because the superuser may read everything."""
    path, real = release / shard_name(1), type(release).open

    def refuse(self, *args, **kwargs):
        if self == path:
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(type(release), "open", refuse)
    assert "bundled_toon" in choices(pack)
    with pytest.raises(ValueError, match=shard_name(1)):
        pack.nodes.host.model.load_model.load_uniavgen(str(release))


@pytest.mark.parametrize("spoil", NO_FILES)
@pytest.mark.parametrize(
    ("key", "name", "node"),
    [
        ("diffusion_models", "one.safetensors", "UniAVGenLoadModel"),
        ("diffusion_models", "one.gguf", "UniAVGenLoadModel"),
        ("text_encoders", "one.safetensors", "UniAVGenLoadTextEncoder"),
        ("vae", "one.pth", "UniAVGenLoadVideoVAE"),
        ("vocoders", "mine/config.yaml", "UniAVGenLoadAudioVAE"),
        ("vocoders", "mine/config.json", "UniAVGenLoadAudioVAE"),
        ("vocoders", "mine/pytorch_model.bin", "UniAVGenLoadAudioVAE"),
        ("whisper", "mine/config.json", "UniAVGenLoadModel"),
        ("audio_encoders", "mine/config.json", "UniAVGenLoadModel"),
        ("audio_encoders", "mine/model.safetensors", "UniAVGenLoadModel"),
    ],
)
def test_no_single_file_takes_the_nodes_away_and_loading_it_is_refused(pack, models, spoil, key, name, node):
    path = models.parent / key / name
    path.parent.mkdir(exist_ok=True)
    spoil(path)
    options = choices(pack, node)
    chosen = name if name in options else "mine"
    loader = next(node_class for node_class in pack.nodes.NODES if node_class.define_schema().node_id == node)
    if chosen in options:
        with pytest.raises(ValueError, match=rf"{path.name}|{path.parent}"):
            within_time(lambda: loader.execute(chosen))


def test_links_out_of_the_folder_are_followed(pack, models, toon, tmp_path):
    elsewhere = write_shards(tmp_path / "elsewhere", *toon)
    (models / "linked").symlink_to(elsewhere)
    one = write_shards(models / "by file", *toon)
    shard = one / shard_name(1)
    shard.rename(tmp_path / "moved.safetensors")
    shard.symlink_to(tmp_path / "moved.safetensors")
    save_file(toon[0], tmp_path / "whole.safetensors", toon[1])
    (models / "link.safetensors").symlink_to(tmp_path / "whole.safetensors")
    for name in ("linked/ (folder)", "by file/ (folder)", "link.safetensors"):
        assert name in choices(pack)
        assert pack.nodes.loaders.LoadModel.execute(name).args[0].model.diffusion_model.config.num_layers == 6


@pytest.mark.parametrize(
    "name", ["../elsewhere.safetensors", "..", "/etc/hosts", "a\\b.safetensors", 3, None, ["x"], {}]
)
def test_an_index_cannot_lead_out_of_its_folder(pack, release, name):
    (release / INDEX).write_text(json.dumps({"weight_map": {"patch_embedding.weight": name}}))
    assert "bundled_toon" in choices(pack)
    with pytest.raises(ValueError, match=INDEX):
        pack.nodes.host.model.load_model.load_uniavgen(str(release))


def test_a_choice_cannot_lead_out_of_the_folder(pack, models, toon):
    save_file(toon[0], models.parent / "outside.safetensors", toon[1])
    with pytest.raises(FileNotFoundError):
        pack.nodes.loaders.LoadModel.execute("../outside.safetensors")


def test_thousands_of_missing_shards_are_told_in_one_short_message(pack, models, toon):
    save_file(toon[0], models / "diffusion_pytorch_model-00001-of-99999.safetensors", toon[1])
    with pytest.raises(ValueError, match=r"99998 of 99999 shards are missing .* and 99993 more") as raised:
        pack.nodes.host.model.load_model.load_uniavgen(str(models))
    assert len(str(raised.value)) < 1000


def test_a_model_folder_that_cannot_be_listed_is_left_out(pack, models, monkeypatch, caplog):
    real = folder_paths.recursive_search

    def refuse(directory, *args, **kwargs):
        if directory == str(models):
            raise PermissionError(13, "Permission denied", directory)
        return real(directory, *args, **kwargs)

    monkeypatch.setattr(folder_paths, "recursive_search", refuse)
    assert choices(pack) == ["bundled_toon"]
    assert any("diffusion_models cannot be listed" in record.getMessage() for record in caplog.records)


def test_folders_that_link_to_the_ones_above_them_are_listed_once(pack, tmp_path):
    """ComfyUI's own search would go through every one of 30 ** 40 paths."""
    (tmp_path / "inner" / "deep").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    for name in ("a.gguf", "inner/b.gguf", "inner/deep/c.gguf", ".git/d.gguf"):
        (tmp_path / name).write_bytes(b"")
    for number in range(30):
        for folder in ("", "inner", "inner/deep"):
            (tmp_path / folder / f"up_{number}").symlink_to(tmp_path)
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    found = within_time(lambda: pack.nodes.host.model_folders.files_below(str(tmp_path)))
    assert sorted(found) == ["a.gguf", "inner/b.gguf", "inner/deep/c.gguf", "itself"]


def test_a_folder_elsewhere_is_listed_under_the_name_of_its_link(pack, tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.gguf").write_bytes(b"")
    (tmp_path / "root" / "linked").symlink_to(tmp_path / "elsewhere")
    assert pack.nodes.host.model_folders.files_below(str(tmp_path / "root")) == ["linked/a.gguf"]
