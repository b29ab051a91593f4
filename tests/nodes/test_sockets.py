"""Codec sockets: what else is connected is refused, by the name of the loader that is needed."""

import pytest

from tests.nodes.graphs import Graph, chosen_options
from tools.comfy_client import PromptFailedError, PromptRejectedError

VIDEO, AUDIO = "UniAVGen Load Video VAE", "UniAVGen Load Audio VAE"
SOCKETS = [
    ("UniAVGenReferenceImage", "video_vae", VIDEO),
    ("UniAVGenDecode", "video_vae", VIDEO),
    ("UniAVGenDecode", "audio_vae", AUDIO),
]


def rejected(server, graph):
    with pytest.raises(PromptRejectedError) as error:
        server.run(graph.nodes)
    return str(error.value)


@pytest.mark.parametrize(("node", "socket", "loader"), SOCKETS)
def test_a_stock_vae_is_refused_before_anything_runs(server, node, socket, loader):
    graph = Graph()
    vae = graph.add("VAELoader", vae_name="pixel_space")
    message = rejected(server, graph.set(node, **{socket: vae}))
    assert f"{socket} is a VAE of another node. Connect '{loader}' to it." in message
    assert "loaders produce latents that the model cannot use" in message


@pytest.mark.parametrize(("node", "socket", "loader"), SOCKETS)
def test_codecs_in_each_others_sockets_are_refused_before_anything_runs(server, node, socket, loader):
    graph = Graph()
    other = {"video_vae": "audio_vae", "audio_vae": "video_vae"}[socket]
    message = rejected(server, graph.set(node, **{socket: graph.get("UniAVGenDecode", other)}))
    wrong = {VIDEO: AUDIO, AUDIO: VIDEO}[loader]
    assert f"{socket} is the output of '{wrong}'. Connect '{loader}' to it." in message


def test_other_links_are_still_checked_before_anything_runs(server):
    graph = Graph()
    latent = graph.get("UniAVGenDecode", "video_vae")
    assert "latent takes LATENT, but UNIAVGEN_VIDEO_VAE,VAE" in rejected(
        server, graph.set("UniAVGenDecode", latent=latent)
    )


@pytest.mark.parametrize("node", ["Task", "ReferenceImage", "Keep", "BestTake", "Retake", "LongVideo", "Decode"])
def test_every_node_that_takes_a_codec_has_our_sockets_and_checks_them(pack, node):
    (kind,) = [kind for kind in pack.nodes.NODES if kind.define_schema().node_id == f"UniAVGen{node}"]
    types = {one.id: one.get_io_type() for one in kind.define_schema().inputs}
    sockets = [name for name in types if name.endswith("vae")]
    assert sockets
    for name in sockets:
        assert types[name] == f"UNIAVGEN_{name.upper()}"
        assert "another node" in kind.validate_inputs(input_types={name: "VAE"}, **chosen_options(kind))
        assert kind.validate_inputs(input_types={name: f"{types[name]},VAE"}, **chosen_options(kind)) is True


def test_no_other_node_takes_a_plain_vae(pack):
    types = {one.get_io_type() for kind in pack.nodes.NODES for one in kind.define_schema().inputs}
    assert "VAE" not in types


@pytest.mark.parametrize(("node", "socket", "loader"), SOCKETS)
def test_what_comes_through_a_node_of_any_type_is_refused_when_it_is_known(server, node, socket, loader):
    """A switch or a reroute hides the type of what it passes on."""
    graph = Graph(steps=1)
    vae = graph.add("VAELoader", vae_name="pixel_space")
    hidden = graph.add("ComfySwitchNode", switch=True, on_false=vae, on_true=vae)
    with pytest.raises((PromptFailedError, PromptRejectedError)) as error:
        server.run(graph.set(node, **{socket: hidden}).nodes)
    assert f"Connect '{loader}'" in str(error.value)


@pytest.mark.parametrize(
    ("task", "inputs"), [("joint", {"seconds": 1.0}), ("dubbing", {"video": None})], ids=["joint", "dubbing"]
)
def test_the_codecs_are_checked_in_this_process_too(studio, task, inputs):
    codecs = (studio.audio_vae, object(), None)
    for codec in codecs:
        with pytest.raises(ValueError, match=f"Connect '{VIDEO}'"):
            studio.nodes.task.Task.execute(*studio.texts(), codec, 64, 64, {"task": task, **inputs})


def test_a_model_of_another_family_is_refused_by_every_node_that_takes_one(pack):
    import comfy.model_patcher
    import torch

    other = comfy.model_patcher.ModelPatcher(torch.nn.Linear(1, 1), torch.device("cpu"), torch.device("cpu"))
    takers = {
        kind for kind in pack.nodes.NODES if any(one.get_io_type() == "MODEL" for one in kind.define_schema().inputs)
    }
    assert len(takers) >= 6
    for kind in takers:
        values = {one.id: getattr(one, "default", None) for one in kind.define_schema().inputs}
        values |= {one.id: one.options[0] for one in kind.define_schema().inputs if one.get_io_type() == "COMBO"}
        with pytest.raises(ValueError, match="Load it with the node 'UniAVGen Load Model'"):
            kind.execute(**{**values, "model": other})
