"""ComfyUI's own nodes on the joint model, each in a graph that a real server runs to a video file."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.nodes.graphs import GUIDANCE, Graph
from tools.comfy_client import PromptInterruptedError
from tools.contact_sheet import read_clip
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL


@pytest.fixture
def clip_of(server, tmp_path):
    """Run a graph and read the video it saved."""

    def run(graph, **options):
        result = server.run(graph.nodes, **options)
        (file,) = [file for file in result.files() if file["filename"].endswith(".mp4")]
        return read_clip(server.download(file, tmp_path / file["filename"]))

    return run


@pytest.fixture
def pictures_of(server, tmp_path):
    """Run a graph and read its pictures without loss: a video file is not the same twice."""

    def run(graph):
        graph.add("SaveImage", images=graph.get("UniAVGenSaveVideo", "images"), filename_prefix="picture")
        files = [file for file in server.run(graph.nodes).files() if file["filename"].endswith(".png")]
        paths = [server.download(file, tmp_path / file["filename"]) for file in files]
        return np.stack([np.asarray(Image.open(path)) for path in sorted(paths)]).astype(int)

    return run


def differ(one, other):
    """True if pictures differ by more than rounding."""
    return np.abs(one - other).max() > 1


def custom_sampling(graph, guider=None, sigmas=None):
    """Replace the joint sampler by SamplerCustomAdvanced."""
    links, latent = graph.sampler_links(), graph.get("UniAVGenSampler", "latent")
    model = graph.get("UniAVGenSampler", "model")
    sampled = graph.add(
        "SamplerCustomAdvanced",
        noise=graph.add("RandomNoise", noise_seed=1),
        guider=guider or graph.add("UniAVGenGuider", model=model, **links, preset="custom", **GUIDANCE),
        sampler=graph.add("KSamplerSelect", sampler_name="euler"),
        sigmas=sigmas or graph.add("UniAVGenSigmas", model=model, preset="custom", steps=3, shift=5.0),
        latent_image=latent,
    )
    return graph.replace_sampler(sampled)


def test_the_quick_start_makes_a_video_with_sound(clip_of):
    clip = clip_of(Graph())
    assert clip.frames.shape == (17, 64, 64, 3)
    assert clip.fps == 16
    assert clip.sample_rate == 24000
    assert np.abs(clip.sound).max() > 0.01


def test_sampler_custom_advanced_with_our_guider_equals_the_joint_sampler(pictures_of):
    joint = pictures_of(Graph().set("UniAVGenSampler", **GUIDANCE))
    custom = pictures_of(custom_sampling(Graph()))
    assert not differ(joint, custom)


def test_ksampler_runs_with_and_without_the_guidance_patch(pictures_of):
    pictures = []
    for patched in (True, False):
        graph = Graph()
        model = graph.get("UniAVGenSampler", "model")
        if patched:
            guided = GUIDANCE | {"preset": "custom", "video_guidance": 6.0}
            model = graph.add("UniAVGenGuidance", model=model, **guided)
        settings = {"seed": 1, "steps": 3, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
        latent = graph.get("UniAVGenSampler", "latent")
        sampled = graph.add("KSampler", model=model, latent_image=latent, **graph.sampler_links(), **settings)
        pictures.append(pictures_of(graph.replace_sampler(sampled)))
    assert differ(*pictures)  # cfg 1 would hide a patch that does nothing


def test_a_wan_lora_changes_the_clip(pictures_of, server):
    weights = load_file(BUNDLED_MODEL)
    key = "blocks.0.self_attn.q"
    rows, columns = weights[f"{key}.weight"].shape
    lora = {
        f"diffusion_model.{key}.lora_A.weight": torch.randn(4, columns),
        f"diffusion_model.{key}.lora_B.weight": torch.randn(rows, 4),
    }
    folder = server.folder / "models" / "loras"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(lora, folder / "strong.safetensors")
    graph = Graph().patch_model("LoraLoaderModelOnly", lora_name="strong.safetensors", strength_model=1.0)
    before = len(server.log)
    assert differ(pictures_of(Graph()), pictures_of(graph))
    assert "lora key not loaded" not in server.log[before:]


def test_easycache_skips_steps_and_still_ends_well(clip_of, server):
    graph = Graph(steps=12).patch_model(
        "EasyCache", reuse_threshold=1.0, start_percent=0.1, end_percent=0.95, verbose=True
    )
    before = len(server.log)
    assert np.isfinite(clip_of(graph).sound).all()
    assert "skipping step" in server.log[before:]


def test_easycache_leaves_the_picture_much_as_it_is(pictures_of, server):
    options = {"start_percent": 0.1, "end_percent": 0.95, "verbose": True}
    graph = Graph(steps=12).patch_model("EasyCache", reuse_threshold=0.3, **options)
    before = len(server.log)
    cached = pictures_of(graph)
    assert "skipping step" in server.log[before:]
    assert 0 < np.abs(cached - pictures_of(Graph(steps=12))).mean() < 8


@pytest.mark.parametrize("causal_fix", [True, False])
def test_context_windows_cover_a_long_clip(clip_of, server, causal_fix):
    graph = Graph(seconds=3.0625).patch_model(
        "ContextWindowsManual",
        context_length=6,
        context_overlap=2,
        context_schedule="standard_static",
        context_stride=1,
        closed_loop=False,
        fuse_method="pyramid",
        dim=2,
        freenoise=False,
        cond_retain_index_list="",
        split_conds_to_windows=False,
        latent_retain_index_list="",
        causal_window_fix=causal_fix,
    )
    before = len(server.log)
    clip = clip_of(graph)
    assert clip.frames.shape[0] == 49
    assert "Context window 2/" in server.log[before:]


def test_the_stock_decoders_decode_both_halves(clip_of, pictures_of):
    graph = Graph(steps=12)  # fewer leave noise, which the file's sound codec keeps less well than speech
    ours = clip_of(graph), pictures_of(graph)
    graph = Graph(steps=12)
    decode = {name: graph.get("UniAVGenDecode", name) for name in ("latent", "video_vae", "audio_vae")}
    images = graph.add("VAEDecode", samples=decode["latent"], vae=decode["video_vae"])
    audio = graph.add("VAEDecodeAudio", samples=decode["latent"], vae=decode["audio_vae"])
    graph.remove("UniAVGenDecode").set("UniAVGenSaveVideo", images=images, audio=audio, fps=16.0)
    assert np.corrcoef(ours[0].sound, clip_of(graph).sound)[0, 1] > 0.99
    assert not differ(ours[1], pictures_of(graph))


def test_latents_can_be_taken_apart_and_joined_by_stock_nodes(pictures_of):
    graph = Graph()
    latent = graph.get("UniAVGenDecode", "latent")
    apart = graph.add("LTXVSeparateAVLatent", av_latent=latent)
    joined = graph.add("LTXVConcatAVLatent", video_latent=apart, audio_latent=[apart[0], 1])
    assert not differ(pictures_of(Graph()), pictures_of(graph.set("UniAVGenDecode", latent=joined)))


def test_previews_arrive_while_sampling(clip_of):
    previews = []
    clip_of(
        Graph(steps=4).set("UniAVGenSampler", seed=77),
        on_event=lambda kind, data: previews.append(data) if kind == "preview" else None,
        extra_data={"preview_method": "latent2rgb"},
    )
    assert len(previews) >= 3
    assert all(b"\xff\xd8\xff" in data[:64] or b"\xff\xd8\xff" in data for data in previews)


def test_cancel_ends_sampling_and_the_server_goes_on(clip_of, server):
    def cancel(kind, data):
        if kind == "progress" and data["value"] >= 1:
            server.interrupt()

    with pytest.raises(PromptInterruptedError):
        clip_of(Graph(steps=200), on_event=cancel)
    clip_of(Graph())
