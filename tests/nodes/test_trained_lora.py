"""A LoRA trained here on toons does in ComfyUI, through its own loader, what it does here."""

import importlib

import pytest
import torch
from safetensors.torch import load_file

from toon.clips.clip import make_clip
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL, BUNDLED_VIDEO_CODEC
from uniavgen_core.bundled.hashed_captions import hashed_features
from uniavgen_core.bundled.video_codec import VideoCodec
from uniavgen_core.checkpoint.load_weights import load_model
from uniavgen_core.diffusion.flow import mix
from uniavgen_core.media.audio.mel import log_mel, normalize_mel
from uniavgen_core.model.joint import Conditions
from uniavgen_core.training.flow_matching import batch_error
from uniavgen_core.training.lora import LoraBranch, LoraPlan, add_lora, save_lora

STEPS, FRAMES, SIZE, SIGMA = 3, 17, 64, 0.7
PLANS = {
    "all": LoraPlan(interactions=True, rank=4, alpha=8.0),
    "some": LoraPlan(LoraBranch.AUDIO, rank=2, alpha=1.0, targets=("ffn.0", "v")),
}


class Toon:
    """One noisy toon, and how it enters the network here and in ComfyUI."""

    def __init__(self, pack, codec, seed):
        host, clip = pack.nodes.host, make_clip(seed, FRAMES, SIZE)
        frames = torch.from_numpy(clip.frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        with torch.no_grad():
            clean = codec.encode(frames), normalize_mel(log_mel(torch.from_numpy(clip.waveform))).T[None]
        generator = torch.Generator().manual_seed(seed)
        noise = [torch.randn(one.shape, generator=generator) for one in clean]
        self.noisy = [mix(*pair, torch.tensor(SIGMA)) for pair in zip(clean, noise, strict=True)]
        self.velocity = [of_noise - of_clean for of_clean, of_noise in zip(clean, noise, strict=True)]
        self.times = tuple(torch.full((1, n), 1000 * SIGMA) for n in (clean[0].shape[2], clean[1].shape[1]))
        self.caption = hashed_features(clip.caption, dim=64)[None]
        self.run = host.conditioning.pass_settings.PassSettings(
            (host.conditioning.pass_settings.Speech(clip.transcript),)
        )
        self.speech = host.conditioning.speech_fields.speech_fields

    def here(self, model):
        speech = self.speech(self.run, model.config.text, 0, 1, torch.device("cpu"))
        output = model(*self.noisy, self.times, Conditions(self.caption, **speech))
        return output.video, output.audio

    def there(self, patcher):
        video, audio = self.noisy
        network = patcher.model.diffusion_model
        video, audio = network([video, audio[:, None]], self.times, self.caption, {}, uniavgen=self.run)
        return video, audio[:, 0]

    def loss(self, model):
        pairs = zip(self.here(model), self.velocity, strict=True)
        return sum(batch_error(got, want, torch.ones(())) for got, want in pairs)


@pytest.fixture(scope="module")
def toons(pack):
    codec = VideoCodec()
    codec.load_state_dict({n: value.float() for n, value in load_file(BUNDLED_VIDEO_CODEC).items()})
    return [Toon(pack, codec.eval(), seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def stock_loader(comfyui, tmp_path_factory):  # noqa: ARG001 - ComfyUI's modules are importable with it
    """ComfyUI's own LoraLoaderModelOnly, and a folder it finds files in."""
    import folder_paths

    folder = tmp_path_factory.mktemp("loras")
    folder_paths.add_model_folder_path("loras", str(folder), is_default=True)
    return importlib.import_module("nodes").LoraLoaderModelOnly, folder


def trained(path, toons, plan):
    """The bundled network with adapters after a few steps, and the loss of each."""
    model = load_model(path, dtype=torch.float32)
    torch.manual_seed(0)
    add_lora(model, plan)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3, weight_decay=0)
    losses = []
    for _ in range(STEPS):
        loss = sum(toon.loss(model) for toon in toons)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model.eval(), losses


def relative(got, want):
    return float((got - want).norm() / want.norm())


@pytest.mark.parametrize("name", PLANS)
def test_the_stock_loader_gives_the_trained_network(pack, toons, stock_loader, caplog, name):
    import comfy.model_management

    (loader, folder), path = stock_loader, BUNDLED_MODEL
    model, losses = trained(path, toons, PLANS[name])
    assert losses[-1] < losses[0]
    save_lora(model, folder / f"{name}.safetensors", PLANS[name])
    base = load_model(path, dtype=torch.float32)
    patcher = pack.nodes.host.model.load_model.load_uniavgen(str(path), {"dtype": torch.float32})
    for strength, like in ((1.0, model), (0.0, base)):
        patched = loader().load_lora_model_only(patcher, f"{name}.safetensors", strength)[0]
        comfy.model_management.load_models_gpu([patched], force_full_load=True)
        with torch.no_grad():
            for toon in toons:
                for got, want in zip(toon.there(patched), toon.here(like), strict=True):
                    assert relative(got, want) < 1e-4, strength
                assert relative(toon.here(model)[1], toon.here(base)[1]) > 3e-3
    assert "lora key not loaded" not in caplog.text
