"""The best of several takes: seeds follow one another, the highest total wins, and the table shows all takes."""

import shutil
from pathlib import Path

import pytest
import torch

from tests.nodes.graphs import GUIDANCE, Graph
from tests.whisper_folders import write_whisper
from tools.comfy_client import PromptRejectedError

pytestmark = pytest.mark.usefixtures("quick_sound")


def best_take(studio, takes=3, **inputs):
    positive, negative, latent, _ = studio.task("joint", image=studio.image(), seconds=1.0).args
    with torch.inference_mode():
        return studio.nodes.best_take.BestTake.execute(
            studio.model, positive, negative, latent, studio.video_vae, studio.audio_vae, takes=takes, seed=7,
            steps=1, shift=5.0, **GUIDANCE, **inputs,
        )  # fmt: skip


@pytest.fixture
def totals(studio, monkeypatch):
    """Totals that takes are given, by seed."""
    node, values = studio.nodes.best_take, {7: 0.2, 8: 0.9, 9: 0.5}
    rate_take = node.rate_take
    monkeypatch.setattr(
        node,
        "rate_take",
        lambda seed, *rest: node.Take(seed, {"sync": values[seed]}, rate_take(seed, *rest).thumbnails),
    )
    return values


def test_the_take_with_the_highest_total_is_returned_with_its_seed(studio, totals):
    sampled, seed, table = best_take(studio).args
    assert seed == max(totals, key=totals.get)
    positive, negative, latent, _ = studio.task("joint", image=studio.image(), seconds=1.0).args
    alone = studio.nodes.samplers.Sampler.execute(
        studio.model, positive, negative, latent, seed=8, steps=1, shift=5.0, **GUIDANCE
    ).args[0]
    for part, other in zip(sampled["samples"].unbind(), alone["samples"].unbind(), strict=True):
        torch.testing.assert_close(part, other)
    assert table.shape[0] == 1
    assert table.shape[1] > 3 * 112


@pytest.mark.usefixtures("totals")
def test_the_best_is_sampled_again_with_more_steps_from_the_same_noise(studio, monkeypatch):
    calls, run_sampler = [], studio.nodes.rated_sampling.run_sampler
    monkeypatch.setattr(studio.nodes.rated_sampling, "run_sampler", lambda *a: (calls.append(a), run_sampler(*a))[1])
    best_take(studio, result="best_take_resampled", final_steps=3)
    assert [(call[4], len(call[2]) - 1) for call in calls] == [(7, 1), (8, 1), (9, 1), (8, 3)]


def test_real_takes_are_rated_by_what_is_seen_and_heard(studio):
    _, seed, table = best_take(studio, takes=2).args
    assert seed in (7, 8)
    assert 0 < table.mean() < 1


@pytest.fixture
def models(pack):  # noqa: ARG001 - the pack adds the model folder
    """ComfyUI's folders of Whispers and of audio encoders, emptied afterwards."""
    import folder_paths

    roots = [Path(folder_paths.get_folder_paths(key)[0]) for key in ("whisper", "audio_encoders")]
    for root in roots:
        root.mkdir(parents=True, exist_ok=True)
    yield roots
    for root in roots:
        shutil.rmtree(root)
        root.mkdir()


def choices(studio):
    inputs = {one.id: one for one in studio.nodes.best_take.BestTake.define_schema().inputs}
    return inputs["recognizer"].options


def fault(studio, name):
    return studio.nodes.best_take.BestTake.validate_inputs(input_types={}, recognizer=name)


def test_whispers_of_both_folders_are_offered_and_other_audio_encoders_are_not(studio, models):
    assert choices(studio) == ["none"]
    write_whisper(models[0] / "tiny")
    write_whisper(models[1] / "encoders" / "small")
    other = write_whisper(models[1] / "wav2vec2")
    config = other / "config.json"
    config.write_text(config.read_text().replace('"whisper"', '"wav2vec2"'))
    (models[1] / "whisper_large_v3.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    assert choices(studio) == ["none", "encoders/small", "tiny"]
    assert [fault(studio, name) for name in choices(studio)] == [True] * 3


def test_a_missing_or_damaged_recognizer_is_named_before_anything_is_sampled(studio, models, monkeypatch):
    monkeypatch.setattr(studio.nodes.rated_sampling, "run_sampler", lambda *_: pytest.fail("sampled"))
    assert "There is no Whisper folder 'gone'" in fault(studio, "gone")
    weights = write_whisper(models[0] / "cut short") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-50])
    for name, words in (("gone", "There is no Whisper folder 'gone'"), ("cut short", "is damaged")):
        assert words in fault(studio, name)
        assert "choose 'none'" in fault(studio, name)
        with pytest.raises(ValueError, match=words):
            best_take(studio, recognizer=name)


def test_the_words_that_the_recognizer_hears_decide_between_takes_that_are_alike_else(studio, models, monkeypatch):
    write_whisper(models[0] / "tiny")
    node, heard, rated = studio.nodes.best_take, iter(["hallo", "Hello!", "jello"]), []
    rate_take = node.rate_take

    def rate(*given):
        take = rate_take(*given)
        rated.append(node.Take(take.seed, {"words": take.ratings["words"]}, take.thumbnails))
        return rated[-1]

    monkeypatch.setattr(node, "rate_take", rate)
    recognizer = studio.nodes.host.media.whisper_loader.HostedRecognizer
    monkeypatch.setattr(recognizer, "hear", lambda *_: next(heard))
    assert best_take(studio, recognizer="tiny").args[1] == 8
    assert [take.total for take in rated] == [0, 1, 0]


def test_a_whisper_on_disk_hears_each_take_and_its_column_is_in_the_table(studio, models):
    write_whisper(models[0] / "tiny")
    recognizer = studio.nodes.host.media.whisper_loader.load_recognizer("tiny")
    sound = torch.sin(torch.arange(24_000) / 10)
    assert recognizer.hear(sound, 24_000) == recognizer.hear(sound, 24_000)
    plain, rated = (best_take(studio, takes=2, recognizer=name).args[2] for name in ("none", "tiny"))
    assert rated.shape[2] == plain.shape[2] + 72


def test_several_speakers_and_kept_sound_have_their_own_transcripts(studio):
    positive, _ = studio.texts("red bird")
    settings = studio.nodes.host.conditioning.pass_settings
    transcript_of = studio.nodes.rated_sampling.transcript_of
    assert transcript_of(positive) == "red bird"
    assert transcript_of(settings.set_speech(positive, kept_transcript="yes")) == "yes red bird"
    assert transcript_of(settings.set_pass(positive, speeches=(settings.Speech("a"), settings.Speech("b")))) == ""
    assert transcript_of(studio.texts("")[0]) == ""


def server_graph(recognizer):
    graph = Graph(steps=1)
    inputs = graph.nodes[graph.add("UniAVGenBestTake")[0]]["inputs"]
    for name in ("model", "positive", "negative", "latent"):
        inputs[name] = graph.get("UniAVGenSampler", name)
    for name in ("video_vae", "audio_vae"):
        inputs[name] = graph.get("UniAVGenDecode", name)
    inputs |= {
        "takes": 2,
        "seed": 0,
        "preset": "custom",
        "steps": 1,
        "shift": 5.0,
        **GUIDANCE,
        "recognizer": recognizer,
    }
    inputs |= {"result": "best_take", "final_steps": 1}
    return graph.replace_sampler([next(n for n, node in graph.nodes.items() if node["inputs"] is inputs), 0])


def test_takes_are_rated_by_words_in_a_real_server(server):
    folder = server.folder / "models" / "whisper" / "tiny"
    folder.mkdir(parents=True, exist_ok=True)
    write_whisper(folder)
    result = server.run(server_graph("tiny").nodes)
    assert any(file["filename"].endswith(".mp4") for file in result.files())
    with pytest.raises(PromptRejectedError, match="There is no Whisper folder 'gone'"):
        server.run(server_graph("gone").nodes)
