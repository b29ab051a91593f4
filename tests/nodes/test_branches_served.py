"""One branch in the place of the joint model: in the quick start, and in a stock graph, in a real ComfyUI."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.nodes.graphs import Graph
from tools.comfy_client import PromptFailedError
from tools.contact_sheet import read_clip
from uniavgen_core.checkpoint.config_from_weights import Contents
from uniavgen_core.checkpoint.merge_and_cut import cut

MODEL = "uniavgen_core/assets/uniavgen_toon.safetensors"


@pytest.fixture
def branch_of(server, request):
    """Put a branch of the bundled model where the loader finds it; gives its name there."""

    def make(branch):
        name = f"{branch.value}_branch.safetensors"
        folder = server.folder / "models" / "diffusion_models"
        folder.mkdir(parents=True, exist_ok=True)
        cut(request.config.rootpath / MODEL, folder / name, branch, replace=True)
        server.object_info("UniAVGenLoadModel")
        return name

    return make


@pytest.fixture
def clip_of(server, tmp_path):
    def run(graph):
        (file,) = [file for file in server.run(graph.nodes).files() if file["filename"].endswith(".mp4")]
        return read_clip(server.download(file, tmp_path / file["filename"]))

    return run


def movement(clip):
    """Mean change of a pixel from the first frame to the others, of 255."""
    return np.abs(clip.frames.astype(int) - clip.frames[:1].astype(int)).mean()


def test_in_the_quick_start_the_video_branch_makes_the_picture_and_the_audio_branch_the_sound(clip_of, branch_of):
    whole = clip_of(Graph())
    video, audio = (
        clip_of(Graph().set("UniAVGenLoadModel", model_name=branch_of(branch)))
        for branch in (Contents.VIDEO, Contents.AUDIO)
    )
    assert video.frames.shape == audio.frames.shape == whole.frames.shape
    assert len(video.sound) == len(audio.sound) == len(whole.sound)
    assert np.abs(video.sound).max() < 0.005
    assert np.abs(audio.sound).max() > 0.01
    assert movement(video) > 2
    assert movement(audio) < 1
    assert np.abs(audio.frames[0].astype(int) - whole.frames[0]).mean() < 5, "the still is the first frame"


def test_a_stock_sampler_makes_a_plain_video_latent_with_our_guidance_and_without(server, branch_of, tmp_path):
    graph = Graph().set("UniAVGenLoadModel", model_name=branch_of(Contents.VIDEO))
    plain = graph.add("LTXVSeparateAVLatent", av_latent=graph.get("UniAVGenSampler", "latent"))
    links, model = graph.sampler_links(), graph.get("UniAVGenSampler", "model")
    guided = graph.add(
        "UniAVGenGuidance",
        model=model,
        preset="custom",
        video_guidance=2.0,
        audio_guidance=1.0,
        modality_aware_share=0.0,
        after_share="text_cfg",
        skip_layer=0,
    )
    settings = {"seed": 1, "steps": 3, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    for name, one, cfg in (("stock", model, 2.0), ("guided", guided, 1.0)):
        sampled = graph.add("KSampler", model=one, latent_image=plain, cfg=cfg, **links, **settings)
        images = graph.add("VAEDecode", samples=sampled, vae=graph.get("UniAVGenDecode", "video_vae"))
        graph.add("SaveImage", images=images, filename_prefix=name)
    graph.remove("UniAVGenSampler").remove("UniAVGenDecode")
    graph.remove("UniAVGenSaveVideo")
    files, previews = {}, []
    result = server.run(
        graph.nodes,
        on_event=lambda kind, data: previews.append(data) if kind == "preview" else None,
        extra_data={"preview_method": "latent2rgb"},
    )
    assert len(previews) >= 4
    for file in result.files():
        files.setdefault(file["filename"].split("_")[0], []).append(server.download(file, tmp_path / file["filename"]))
    stock, own = (
        np.stack([np.asarray(Image.open(path)).astype(int) for path in sorted(files[name]) if path.suffix == ".png"])
        for name in ("stock", "guided")
    )
    assert stock.shape == (17, 64, 64, 3)
    assert np.abs(stock - own).max() <= 1
    assert stock.std() > 5


def test_a_wan_file_with_a_layer_too_many_is_refused_in_words(server, branch_of):
    name = branch_of(Contents.VIDEO)
    folder = server.folder / "models" / "diffusion_models"
    tensors = load_file(folder / name) | {"img_emb.proj.0.weight": torch.zeros(2)}
    save_file(tensors, folder / "wan_i2v.safetensors")
    server.object_info("UniAVGenLoadModel")
    with pytest.raises(PromptFailedError, match=r"1 unexpected: img_emb.*Wan's models for images to video"):
        server.run(Graph().set("UniAVGenLoadModel", model_name="wan_i2v.safetensors").nodes)
