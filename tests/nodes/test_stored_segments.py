"""Segments of long videos on disk: found again only by all they were made from, and gone when nobody needs them."""

import errno
import gc
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from tests.nodes.studio import notices_of
from tests.nodes.test_long import count_samples, folder, long_video, made  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("quick_sound")


def runs(studio):
    return list(studio.nodes.host.long_video.stored_runs.stored_runs())


@dataclass
class Holder:
    value: object


@pytest.mark.parametrize(
    "values",
    [
        (1, 1.0, True, "1", b"1"),
        (torch.zeros(3), torch.zeros(3, dtype=torch.float16), torch.zeros(1, 3), torch.tensor([0.0, 0.0, 1e-9])),
        ([1, 2], [2, 1], [[1], 2], {1: 2}, {2: 1}, {1, 2}),
        (Holder(1), Holder(2), Holder(torch.ones(2)), Holder(torch.zeros(2))),
        (lambda x: x + 1, lambda x: x + 2, lambda x: x.y, lambda x: x.z),
        (None, torch.float32, torch.device("cpu")),
    ],
)
def test_values_that_differ_have_other_keys_and_equal_ones_the_same(studio, values):
    key_of = studio.nodes.host.content_keys.key_of
    keys = [key_of(value) for value in values]
    assert len(set(keys)) == len(values)
    assert keys == [key_of(value) for value in values]


def test_equal_content_has_the_same_key_whether_it_is_shared_copied_or_goes_round(studio):
    key_of = studio.nodes.host.content_keys.key_of
    one = torch.rand(5)
    assert key_of([one, one]) == key_of([one, one.clone()])
    first, second = Holder(None), Holder(None)
    first.value, second.value = first, second
    assert key_of(first) == key_of(second)
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})


def test_what_cannot_be_looked_into_has_no_key(studio):
    keys = studio.nodes.host.content_keys
    with pytest.raises(keys.UnidentifiedError, match="Random"):
        keys.key_of({"a": [__import__("_random").Random()]})


def closed(value):
    return lambda x: x + value


def test_a_function_is_known_by_what_it_closes_over(studio):
    key_of = studio.nodes.host.content_keys.key_of
    assert key_of(closed(1)) == key_of(closed(1))
    assert key_of(closed(1)) != key_of(closed(2))


def patched(studio, name):
    """The model with a change by a node."""
    from comfy_extras.nodes_easycache import EasyCacheNode
    from comfy_extras.nodes_model_advanced import ModelSamplingSD3

    nodes = studio.nodes.samplers
    changes = {
        "shift": lambda: ModelSamplingSD3().patch(studio.model, 12.0)[0],
        "another shift": lambda: ModelSamplingSD3().patch(studio.model, 3.0)[0],
        "EasyCache": lambda: EasyCacheNode.execute(studio.model, 0.2, 0.15, 0.95, False).args[0],
        "another EasyCache": lambda: EasyCacheNode.execute(studio.model, 0.3, 0.15, 0.95, False).args[0],
        "step cache": lambda: nodes.StepCacheNode.execute(studio.model, 0.1, 0.1, 0.1, 0.9).args[0],
    }
    return changes[name]()


def lora(studio, value):
    """The model with a LoRA whose values are all alike."""
    model = studio.model.clone()
    name = next(name for name in model.model.state_dict() if name.endswith("self_attn.q.weight"))
    shape = model.model.state_dict()[name].shape
    from comfy.weight_adapter.lora import LoRAAdapter

    weights = (torch.full((shape[0], 2), value), torch.full((2, shape[1]), value), 2.0, None, None, None)
    model.add_patches({name: LoRAAdapter({name}, weights)}, 1.0)
    return model


@pytest.mark.parametrize("name", ["shift", "another shift", "EasyCache", "another EasyCache", "step cache"])
def test_a_change_of_the_model_is_another_run_and_the_same_change_is_the_same(studio, name):
    key_of = studio.nodes.host.content_keys.key_of
    content = studio.nodes.host.model.model_content.model_content
    plain, changed, again = (
        key_of(content(model)) for model in (studio.model, patched(studio, name), patched(studio, name))
    )
    assert changed != plain
    assert changed == again
    assert key_of(content(studio.model.clone())) == plain


def test_changes_of_one_kind_are_told_apart(studio):
    key_of = studio.nodes.host.content_keys.key_of
    content = studio.nodes.host.model.model_content.model_content
    keys = {
        key_of(content(patched(studio, name))) for name in ("shift", "another shift", "EasyCache", "another EasyCache")
    }
    assert len(keys) == 4
    loras = [key_of(content(lora(studio, value))) for value in (0.1, 0.2, 0.1)]
    assert loras[0] == loras[2] != loras[1]


def test_with_a_lora_a_stopped_video_goes_on_after_a_reload_and_another_lora_starts_over(studio, monkeypatch):
    calls = count_samples(studio, monkeypatch)
    kept = studio.model
    for value, sampled in ((0.1, 1), (0.1, 1), (0.2, 2)):
        monkeypatch.setattr(studio, "model", lora(type("S", (), {"model": kept}), value))
        long_video(studio, "hello", keep_segments=True)
        assert len(calls) == sampled


def test_another_video_codec_is_another_run(studio, monkeypatch):
    import copy

    key_of = studio.nodes.host.content_keys.key_of
    content = studio.nodes.host.model.model_content.vae_content
    other = copy.deepcopy(studio.video_vae.first_stage_model)
    before = key_of(content(studio.video_vae))
    assert key_of(content(studio.video_vae)) == before
    with torch.no_grad():
        next(other.parameters()).view(-1)[0] += 1e-3
    monkeypatch.setattr(studio.video_vae, "first_stage_model", other)
    assert key_of(content(studio.video_vae)) != before


def with_unknown_option(model):
    model.model_options["transformer_options"]["unknown"] = __import__("_random").Random()


def with_another_model(model):
    model.additional_models["control"] = [model.clone()]


@pytest.mark.parametrize("change", [with_unknown_option, with_another_model])
def test_what_cannot_be_identified_is_sampled_anew_and_that_is_told(studio, monkeypatch, change):
    calls = count_samples(studio, monkeypatch)
    model = studio.model.clone()
    change(model)
    monkeypatch.setattr(studio, "model", model)
    for number in (1, 2):
        output = long_video(studio, "hello")
        assert len(calls) == number
        assert "Earlier segments are not reused" in notices_of(output)


def test_segments_that_are_used_again_are_told_of_and_start_over_makes_them_anew(studio, monkeypatch):
    video = long_video(studio, "hello robot\nred moon").args[0]
    calls = count_samples(studio, monkeypatch)
    assert "2 of 2 segments were finished by an earlier run" in notices_of(long_video(studio, "hello robot\nred moon"))
    assert not calls
    assert notices_of(long_video(studio, "hello robot\nred moon", start_over=True)) == ""
    assert len(calls) == 2
    del video


def test_segments_go_when_their_video_has_been_saved_and_is_let_go(studio, tmp_path):
    video = long_video(studio, "hello").args[0]
    (run,) = runs(studio)
    assert run.in_use
    video.save_to(str(tmp_path / "a.mp4"))
    assert run.folder.exists()
    del video
    gc.collect()
    assert not run.folder.exists()
    assert (tmp_path / "a.mp4").exists()


def test_in_the_server_segments_go_once_their_video_is_saved_and_another_graph_runs(server):
    workflows = Path(__file__).parents[2] / "workflows" / "api"
    stored = lambda: list((server.folder / "output" / "uniavgen").glob("long_*"))  # noqa: E731
    before = set(stored())
    server.run(json.loads((workflows / "long_video.json").read_text()))
    assert len(set(stored()) - before) == 1
    server.run({"1": {"class_type": "UniAVGenStoredSegments", "inputs": {"action": "list", "days": 7}}})
    assert not set(stored()) - before


def test_segments_stay_when_their_video_was_not_saved_or_they_are_to_be_kept(studio, tmp_path):
    video = long_video(studio, "hello").args[0]
    video.get_components()
    del video
    gc.collect()
    (run,) = runs(studio)
    assert not run.in_use
    video = long_video(studio, "hello", keep_segments=True).args[0]
    video.save_to(str(tmp_path / "a.mp4"))
    del video
    gc.collect()
    assert run.folder.exists()


def test_segments_of_a_video_stay_while_another_of_the_same_run_is_in_use(studio, tmp_path):
    first, second = (long_video(studio, script).args[0] for script in ("hello\nred moon", "hello\nred sun"))
    first.save_to(str(tmp_path / "a.mp4"))
    del first
    gc.collect()
    assert len(second.get_components().images) == 57


def test_the_node_lists_what_is_stored_and_deletes_what_is_not_in_use(studio):
    node = studio.nodes.stored_segments.StoredSegments
    assert node.execute("list", 7).args[0] == "No segments of long videos are stored."
    long_video(studio, "hello")
    gc.collect()
    held = long_video(studio, "red moon", size=96).args[0]
    assert node.execute("list", 7).args[0].count("1 segments, 0.") == 2
    assert len(node.execute("delete_old", 7).args[0].splitlines()) == 3
    lines = node.execute("delete_all", 7).args[0].splitlines()
    assert lines[0].endswith("MiB freed.")
    assert len(lines) == 2
    assert lines[1].endswith("in use")
    assert held.get_components().images.shape[1] == 96


def test_a_full_disk_is_named_and_finished_segments_stay(studio, folder, monkeypatch):  # noqa: F811
    store, wrote = studio.nodes.host.long_video.segment_store, []
    write = store.write_lossless

    def full(path, frames, waveform):
        if wrote:
            raise OSError(errno.ENOSPC, "No space left on device")
        wrote.append(path)
        write(path, frames, waveform)

    monkeypatch.setattr(store, "write_lossless", full)
    with pytest.raises(ValueError, match=r"The disk of .* is full: segment 2 needs up to .* MiB"):
        long_video(studio, "hello\nred moon")
    assert len(list(folder.rglob("segment_*.mkv"))) == 1
    assert not list(folder.rglob("*.partial"))


def test_a_clip_without_loss_comes_back_bit_for_bit_whatever_its_size_and_level(studio, tmp_path):
    clip = studio.nodes.host.media.lossless_clip
    generator = torch.Generator().manual_seed(0)
    for shape in ((1, 16, 16, 3), (9, 33, 47, 3), (5, 64, 96, 3)):
        frames = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
        waveform = 3 * torch.randn(shape[0] * 1500 - 7, generator=generator)
        for seen, heard in ((frames, waveform), (frames, torch.zeros(0)), (torch.zeros(4, 0, 0, 3).byte(), waveform)):
            clip.write_lossless(tmp_path / "clip", seen, heard)
            found = clip.read_lossless(tmp_path / "clip", 4)
            assert torch.equal(found[0], seen)
            assert torch.equal(found[1], heard)


HOLD = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("run_locks", sys.argv[1])
locks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(locks)
lock = locks.RunLock(__import__("pathlib").Path(sys.argv[2]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other_process(studio):
    """Function that has another process use a run's folder; it ends with the test, or by ``kill``."""
    started = []

    def use(run_folder):
        command = [sys.executable, "-c", HOLD, studio.nodes.host.long_video.run_locks.__file__, str(run_folder)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"held\n"
        started.append(process)
        return process

    yield use
    for process in started:
        process.kill()
        process.communicate()


def test_segments_that_another_server_uses_stay_until_it_ends_in_any_way(studio, tmp_path, other_process):
    video = long_video(studio, "hello").args[0]
    run_folder = video.segments.store.folder
    process = other_process(run_folder)
    video.save_to(str(tmp_path / "a.mp4"))
    del video
    gc.collect()
    (run,) = runs(studio)
    assert run.in_use
    stored = studio.nodes.host.long_video.stored_runs
    assert stored.clear(runs(studio)) == 0
    process.kill()
    process.wait()
    assert not runs(studio)[0].in_use
    assert stored.clear(runs(studio)) > 0
    assert not run_folder.exists()


def test_start_over_leaves_the_segments_that_another_server_uses(studio, monkeypatch, other_process):
    first = long_video(studio, "hello").args[0]
    other_process(first.segments.store.folder)
    calls = count_samples(studio, monkeypatch)
    output = long_video(studio, "hello", start_over=True)
    assert len(calls) == 1
    assert "Another ComfyUI uses the earlier segments" in notices_of(output)
    assert torch.equal(first.get_components().images, output.args[0].get_components().images)
