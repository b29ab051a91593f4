"""Pictures of previews: real frames where a small decoder is at hand, and the colours of latents otherwise."""

import types

import comfy.latent_formats
import numpy as np
import pytest
import torch
from comfy.nested_tensor import NestedTensor
from latent_preview import LatentPreviewMethod, args

from tests.nodes.test_tiny_vae import file_of, network  # noqa: F401 - fixture
from toon.clips import make_clip
from uniavgen_core.bundled.bundled_files import load_codec
from uniavgen_core.checkpoint.trained_on import BUNDLED_CLIPS, RELEASED_CLIPS

WAN = comfy.latent_formats.Wan22()


@pytest.fixture
def module(pack):
    return pack.nodes.host.sampling.preview_pictures


def model_of(clips):
    """Stand-in for a MODEL of these training clips."""
    model = types.SimpleNamespace(latent_format=WAN, model_config=types.SimpleNamespace(clips=clips))
    return types.SimpleNamespace(model=model, load_device=torch.device("cpu"))


def noise(latents, rows, columns):
    return torch.randn(1, 48, latents, rows, columns, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_previews_of_the_bundled_model_are_its_frames(module):
    toon = make_clip(3)
    latent = load_codec().encode(torch.from_numpy(toon.frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1)
    strip = module.preview_pictures(model_of(BUNDLED_CLIPS)).strip(latent)
    assert (strip.count, strip.frames_per_picture) == (33, 1)
    shown = np.asarray(strip.image).reshape(128, 33, 128, 3).swapaxes(0, 1)
    assert np.abs(shown.astype(int) - toon.frames).mean() < 6


def test_without_a_decoder_each_latent_is_a_picture_of_its_colours(module):
    strip = module.preview_pictures(model_of(RELEASED_CLIPS)).strip(noise(5, 3, 4))
    assert (strip.count, strip.frames_per_picture, strip.image.size) == (5, 4, (5 * 4, 3))


@pytest.mark.parametrize(("method", "count"), [(LatentPreviewMethod.TAESD, 9), (LatentPreviewMethod.Latent2RGB, 3)])
@torch.inference_mode()
def test_a_tiny_autoencoder_draws_the_frames_if_comfyui_is_started_with_it(
    module, network, tmp_path, monkeypatch, method, count  # noqa: F811 - fixture
):  # fmt: skip
    path = tmp_path / "lighttaew2_2.safetensors"
    file_of(network, path)
    monkeypatch.setattr(module, "tiny_names", lambda: [path.name])
    monkeypatch.setattr(module, "path_of", lambda *_: path)
    monkeypatch.setattr(args, "preview_method", method)
    latent = noise(3, 4, 4)
    strip = module.preview_pictures(model_of(RELEASED_CLIPS)).strip(latent)
    assert strip.count == count
    if count == 9:
        frames = network.decode(WAN.process_out(latent))[0].movedim(0, -1).clamp(0, 1)
        shown = np.asarray(strip.image).reshape(64, 9, 64, 3).swapaxes(0, 1)
        assert np.abs(shown / 255 - frames.numpy()).max() < 1 / 127


def test_a_damaged_tiny_autoencoder_costs_the_previews_and_not_the_run(module, pack, tmp_path, monkeypatch, caplog):
    path = tmp_path / "lighttaew2_2.safetensors"
    path.write_bytes(b"nothing")
    monkeypatch.setattr(module, "tiny_names", lambda: [path.name])
    monkeypatch.setattr(module, "path_of", lambda *_: path)
    monkeypatch.setattr(args, "preview_method", LatentPreviewMethod.TAESD)
    live = pack.nodes.host.sampling.live_preview
    context = types.SimpleNamespace(node_id="7", prompt_id="a workflow")
    monkeypatch.setattr(live, "running_server", lambda: types.SimpleNamespace(client_id="somebody"))
    monkeypatch.setattr(live, "get_executing_context", lambda: context)
    listener = live.SoundPreviews(live.PreviewSettings(1), module.preview_pictures(model_of(RELEASED_CLIPS)))
    listener.step(0, NestedTensor((noise(2, 4, 4), torch.zeros(1, 1, 20, 80))), 10)
    listener.worker.join()
    assert "lighttaew2_2.safetensors" in caplog.text
    assert "sampling goes on" in caplog.text


def test_a_long_large_clip_is_shown_in_fewer_and_smaller_pictures(module):
    drawn = module.PreviewPictures(WAN, lambda video: torch.rand(4 * video.shape[2] - 3, 3, 256, 512))
    strip = drawn.strip(noise(50, 16, 32))
    assert strip.frames_per_picture == 3
    assert strip.count == 66
    assert strip.image.size == (66 * 384, 192)
