"""Reads a folder of golden numbers: weights and inputs are rebuilt from names, outputs are stored."""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from uniavgen_core.config import BranchConfig, Interaction, ModelConfig, TextConfig
from uniavgen_core.model.joint import Conditions, JointModel


def scale_rule(name, shape):
    """Offset and factor that a seeded tensor of this name has; the rule the goldens were made with."""
    leaf = name.rsplit(".", 1)[-1]
    if name.startswith("input.") or leaf == "audio_padding":
        return 0.0, 1.0
    if leaf in ("modulation", "gamma", "beta"):
        return 0.0, 0.3
    if name.endswith("text_embed.weight"):
        return 0.0, 0.5
    if leaf == "bias":
        return 0.0, 0.05
    if len(shape) == 1:
        return 1.0, 0.1
    return 0.0, 1.0 / math.sqrt(math.prod(shape[1:]))


def seeded_tensor(name, shape, dtype=torch.float32, salt=""):
    generator = np.random.Generator(np.random.PCG64(zlib.crc32((salt + name).encode())))
    offset, factor = scale_rule(name, shape)
    value = offset + factor * generator.standard_normal(tuple(shape))
    return torch.from_numpy(value.astype(np.float32)).to(dtype)


def relative_error(got, want):
    return ((got.double() - want.double()).norm() / want.double().norm()).item()


class Golden:
    """One stem of the folder: its tensors, its description, and the small network it was made with."""

    def __init__(self, folder: Path, stem: str, info_stem: str | None = None):
        self.folder = folder
        self.data = load_file(folder / f"{stem}.safetensors")
        self.info = json.loads((folder / f"{info_stem or stem}.json").read_text())
        self.salt = self.info.get("meta", {}).get("salt", "")

    def seeded(self, name, shape, dtype=torch.float32):
        return seeded_tensor(name, shape, dtype, self.salt)

    def shapes(self):
        return json.loads((self.folder / "state_dict_small.json").read_text())

    def config(self, **variant):
        size, shapes = self.info["meta"]["config"], self.shapes()
        vocabulary, speech_dim = shapes["text_embedding.text_embed.weight"]
        config = ModelConfig(
            video=BranchConfig(size["dim"], size["ffn_dim"], size["num_heads"]),
            audio=BranchConfig(size["audio_dim"], size["audio_ffn_dim"], size["audio_num_heads"]),
            text=TextConfig(vocabulary, speech_dim, caption_dim=size["text_dim"], caption_length=size["text_len"]),
            num_layers=size["num_layers"],
            num_interactions=self.info["meta"]["interaction_modules_in_state_dict"],
            patch_size=size["patch_size"][-1],
            latent_channels=size["in_dim"],
            mel_bins=size["in_audio_dim"],
            time_dim=size["freq_dim"],
        )
        from dataclasses import replace

        return replace(config, variant=replace(config.variant, **variant))

    def model(self, dtype=torch.float32, **variant):
        model = JointModel(self.config(**variant))
        weights = {name: self.seeded(name, shape, dtype) for name, shape in self.shapes().items()}
        model.load_state_dict(weights, assign=True)
        return model.eval()


def interaction_of(a2v, v2a):
    names = {(1, 1): "BOTH", (1, 0): "AUDIO_TO_VIDEO", (0, 1): "VIDEO_TO_AUDIO", (0, 0): "OFF"}
    return Interaction[names[int(a2v), int(v2a)]]


def speech(ids):
    return torch.tensor([ids])


class ForwardCase:
    """Inputs of one golden forward pass, in this repository's terms."""

    def __init__(self, golden: Golden, name: str, dtype=torch.float32):
        self.info = info = golden.info["cases"][name]
        inputs = {k: golden.seeded(v["name"], v["shape"], dtype) for k, v in info["inputs"].items()}
        self.video, self.audio = inputs["video"].clone(), inputs["audio"][None].clone()
        kept_latents, kept_tokens = info["video_cond_latents"], info["audio_cond_tokens"]
        if kept_latents:
            self.video[:, :, :kept_latents] = inputs["cond_video"][:, :, :kept_latents]
        if kept_tokens:
            self.audio[:, :kept_tokens] = inputs["cond_audio"][:, :kept_tokens]
        self.kept = (
            torch.arange(self.video.shape[2])[None] < kept_latents,
            torch.arange(self.audio.shape[1])[None] < kept_tokens,
        )
        self.timesteps = (
            torch.where(self.kept[0], info["t_video_ref_and_cond"], info["t_video_noisy"]),
            torch.full(self.kept[1].shape, info["t_audio_all"]),
        )
        self.conditions = Conditions(
            caption=inputs["caption"],
            speech_ids=speech(info["speech_text_ids"]),
            speech_lengths=torch.tensor([info["speech_text_key_length"]]),
            reference_image=inputs["ref_image"],
            reference_audio=inputs.get("ref_audio"),
            interaction=interaction_of(info["a2v_update_on"], info["v2a_update_on"]),
            skipped_layer=info["skipped_layer"],
        )

    def run(self, model):
        with torch.inference_mode():
            return model(self.video, self.audio, self.timesteps, self.conditions, self.kept)
