"""Tiny autoencoders from vae_approx, with seeded weights in ComfyUI's layout, in place of the Wan2.2 VAE."""

import comfy.latent_formats
import pytest
import torch
from comfy.taesd.taehv import TAEHV
from safetensors.torch import save_file

EMPTY = {"width": 64, "height": 64, "seconds": 0.5625, "batch_size": 1}
WAN = comfy.latent_formats.Wan22()


pytestmark = pytest.mark.usefixtures("as_comfyui_runs_nodes")


@pytest.fixture(scope="module")
def network():
    network, generator = TAEHV(48).eval(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():  # ComfyUI leaves them as memory happens to be
            weight.copy_(torch.randn(weight.shape, generator=generator) / weight[0].numel() ** 0.5)
    return network


def file_of(network, path):
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)
    return str(path)


@pytest.fixture
def load(pack):
    return pack.nodes.host.media.video_vae_files.load_video_vae


@pytest.mark.parametrize(("name", "raw"), [("lighttaew2_2.safetensors", True), ("taew2_2.safetensors", False)])
def test_latents_are_made_raw_for_the_file_that_codes_raw_ones_and_for_no_other(load, network, tmp_path, name, raw):
    vae = load(file_of(network, tmp_path / name))
    latent = torch.randn(1, 48, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    expected = network.decode(WAN.process_out(latent) if raw else latent).clamp(0, 1)
    frames = vae.decode(latent)
    assert frames.shape == (1, 9, 64, 64, 3)
    assert torch.allclose(frames, expected.movedim(1, -1), atol=1e-5)
    pictures = torch.rand(9, 64, 64, 3, generator=torch.Generator().manual_seed(2))
    coded = network.encode(pictures.movedim(-1, 0)[None])
    assert torch.allclose(vae.encode(pictures), WAN.process_in(coded) if raw else coded, atol=1e-5)


def test_a_long_video_knows_both_kinds_apart_though_their_weights_are_the_same(pack, load, network, tmp_path):
    content = pack.nodes.host.model.model_content.vae_content
    raw, normalized = (
        content(load(file_of(network, tmp_path / f"{name}.safetensors"))) for name in ("lighttaew2_2", "taew2_2")
    )
    keys = [pack.nodes.host.content_keys.key_of(*parts) for parts in (raw, normalized)]
    assert keys[0] != keys[1]


def test_a_file_of_another_layout_is_refused_by_name(load, network, tmp_path):
    file = file_of(network.decoder, tmp_path / "lighttaew2_2.safetensors")
    with pytest.raises(ValueError, match=r"lighttaew2_2.*does not fit.*tiny autoencoder of Wan2\.2"):
        load(file)


def test_a_tiny_autoencoder_in_vae_approx_is_offered_and_decodes_a_clip_in_a_real_server(server, network):
    path = server.folder / "models" / "vae_approx" / "lighttaew2_2.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    file_of(network, path)
    try:
        schema = server.object_info()["UniAVGenLoadVideoVAE"]["input"]["required"]["video_vae"]
        options = schema[1]["options"] if schema[0] == "COMBO" else schema[0]
        assert options[-1] == path.name
        result = server.run({
            "1": {"class_type": "UniAVGenLoadVideoVAE", "inputs": {"video_vae": path.name}},
            "2": {"class_type": "UniAVGenEmptyLatent", "inputs": EMPTY},
            "3": {"class_type": "UniAVGenLoadAudioVAE", "inputs": {"vocoder": "griffin_lim"}},
            "4": {
                "class_type": "UniAVGenDecode",
                "inputs": {"latent": ["2", 0], "video_vae": ["1", 0], "audio_vae": ["3", 0]},
            },
            "5": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "tiny"}},
        })  # fmt: skip
        assert len(result.files()) == 9
    finally:
        path.unlink()
