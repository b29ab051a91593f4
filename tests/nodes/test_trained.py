"""Clips outside of what the model was trained on: said once, before sampling, whichever sampler runs."""

import logging

import pytest
import torch

from tests.nodes.graphs import GUIDANCE, Graph
from tests.nodes.studio import moving_frames, video_of
from uniavgen_core.checkpoint.trained_on import RELEASED_CLIPS, TrainedOn

TRAINED = "was trained on"


@pytest.fixture
def said(server):
    """Run a graph in the server; gives what a user is told of training, with the class of the node it is told of."""

    def run(graph):
        heard = []

        def listen(kind, data):
            if kind == "uniavgen.notice" and TRAINED in data["notice"]:
                heard.append((graph.nodes[data["node"]]["class_type"], data["notice"]))

        server.run(graph.nodes, on_event=listen)
        return heard

    return run


@pytest.fixture
def told(caplog):
    """What was said of training, in this process."""
    caplog.set_level(logging.INFO)
    return lambda: [record.message for record in caplog.records if TRAINED in record.message]


def with_sampler(kind, **size):
    """The graph, sampled by one of three nodes."""
    graph = Graph(steps=1, **size)
    links = {"latent_image": graph.get("UniAVGenSampler", "latent")}
    model = graph.get("UniAVGenSampler", "model")
    if kind == "KSampler":
        settings = {"seed": 1, "steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
        return graph.replace_sampler(graph.add(kind, model=model, **graph.sampler_links(), **links, **settings))
    if kind == "SamplerCustomAdvanced":
        parts = {
            "noise": graph.add("RandomNoise", noise_seed=1),
            "guider": graph.add("UniAVGenGuider", model=model, **graph.sampler_links(), preset="custom", **GUIDANCE),
            "sampler": graph.add("KSamplerSelect", sampler_name="euler"),
            "sigmas": graph.add("UniAVGenSigmas", model=model, preset="custom", steps=1, shift=5.0),
        }
        return graph.replace_sampler(graph.add(kind, **parts, **links))
    return graph


@pytest.mark.parametrize("kind", ["UniAVGenSampler", "KSampler", "SamplerCustomAdvanced"])
def test_every_sampler_says_once_that_a_clip_is_longer_and_of_another_size_than_trained(said, kind):
    heard = said(with_sampler(kind, seconds=2.3125, width=64, height=96))
    assert [node for node, _ in heard] == [kind, kind]
    length, size = (notice for _, notice in heard)
    assert length.startswith("The bundled model was trained on clips of 2.06 s. Longer")
    assert "UniAVGen Long Video" in length
    assert "trained on videos of 128x128 or 256x128" in size
    assert "64x96" in size


@pytest.mark.parametrize("width", [128, 256])
def test_nothing_is_said_of_a_clip_like_those_of_the_training(said, width):
    assert said(Graph(steps=1, seconds=2.0625, width=width, height=128)) == []


def test_a_clip_shorter_than_trained_is_named_too(said):
    ((_, notice),) = said(Graph(steps=1, seconds=1.0625, width=128, height=128))
    assert "Shorter ones" in notice


def test_context_windows_of_the_trained_length_make_a_long_clip_a_known_one(said):
    graph = Graph(steps=1, seconds=3.0625, width=128, height=128).patch_model(
        "ContextWindowsManual", context_length=9, context_overlap=2, context_schedule="standard_static",
        context_stride=1, closed_loop=False, fuse_method="pyramid", dim=2, freenoise=False,
        cond_retain_index_list="", split_conds_to_windows=False, latent_retain_index_list="", causal_window_fix=False,
    )  # fmt: skip
    assert said(graph) == []


def test_a_long_video_says_once_what_holds_for_all_its_segments(said):
    graph = Graph()
    links = {name: graph.get("UniAVGenDecode", name) for name in ("video_vae", "audio_vae")}
    links |= {"model": graph.get("UniAVGenSampler", "model"), **graph.sampler_links()}
    size = {"size": "custom", "size.width": 64, "size.height": 64, "size.fit": "crop"}
    numbers = {**size, "keep_seconds": 0.5625, "seed": 0, "preset": "custom", "steps": 1, "shift": 5.0}
    graph.add(
        "UniAVGenLongVideo", **links, **numbers, **GUIDANCE, segment_seconds=2.3125, script="red moon\nbye bye",
        length="full_segments",
    )  # fmt: skip
    video = str(max(map(int, graph.nodes)))
    graph.add("PreviewAny", source=[video, 1])
    graph.nodes = needed_by(graph.nodes, str(int(video) + 1))
    length, size = said(graph)
    assert length[0] == size[0] == "UniAVGenLongVideo"
    assert "Set segment_seconds to that length" in length[1]
    assert "64x64" in size[1]


def needed_by(nodes, number):
    """A node with all that it needs."""
    links = [value for value in nodes[number]["inputs"].values() if isinstance(value, list)]
    return {number: nodes[number]} | {key: node for link in links for key, node in needed_by(nodes, link[0]).items()}


def corner(frames):
    """Masks of a corner of pictures of 64x64."""
    return torch.nn.functional.pad(torch.ones(frames, 32, 32), (0, 32, 0, 32))


@pytest.mark.parametrize(
    ("task", "inputs", "advice"),
    [
        ("dubbing", {"video": 37}, "dubs it in segments"),
        (
            "continuation",
            {"video": 33, "keep_seconds": 1.5625, "seconds": 1.0, "result": "whole_clip"},
            "keep_seconds and seconds that long together",
        ),
        ("audio_driven", {"audio": 2.5, "length": "match_audio", "seconds": 1.0}, "Long Video"),
        ("relip", {"video": 37, "region": "mouth", "mask": 37}, "give them new lips"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_tasks_are_told_of_their_length_what_to_do_about_it(studio, told, task, inputs, advice):
    audio = {"waveform": 0.5 * torch.sin(torch.arange(60_000) / 20)[None, None], "sample_rate": 24_000}
    video = lambda frames: video_of(moving_frames(frames, 64, 64), 16, audio)  # noqa: E731
    given = {"video": video, "audio": lambda _: audio, "mask": corner}
    inputs = {name: given.get(name, lambda value: value)(value) for name, value in inputs.items()}
    positive, negative, latent, _ = studio.task(task, transcript=None, **inputs).args
    studio.sample(positive, negative, latent)
    assert any(advice in notice for notice in told())


def test_the_release_is_told_of_its_own_length_and_sizes(pack):
    trained = pack.nodes.host.model.training_range
    seconds_of = lambda frames, *size: trained.training_range_notices(RELEASED_CLIPS, frames, size, trained.SPEECH)  # noqa: E731
    assert seconds_of(81, 1024, 736) == []
    assert len(seconds_of(85, 704, 704)) == 2
    assert "The model of the official weights was trained on clips of 5.06 s" in seconds_of(85, 736, 736)[0]


def test_of_a_model_whose_training_is_not_known_nothing_is_said(pack):
    trained = pack.nodes.host.model.training_range
    assert trained.training_range_notices(None, 500, (32, 32), trained.SPEECH) == []
    assert trained.training_range_notices(TrainedOn(17, 49), 33, (32, 32), trained.SPEECH) == []
