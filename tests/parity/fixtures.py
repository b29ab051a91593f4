"""Reads a folder of golden numbers: weights and inputs are rebuilt from names, outputs are stored.

Everything about sizes comes from the folder, so that any folder of the same format can be put in its place.
"""

import json
import math
import re
import zlib
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from uniavgen_core.config import BranchConfig, GuidanceConfig, Interaction, ModelConfig, TextConfig
from uniavgen_core.diffusion.guidance import GuidancePlan
from uniavgen_core.diffusion.schedule import release_sigmas
from uniavgen_core.layers.backend import TORCH
from uniavgen_core.model.joint import Conditions, JointModel
from uniavgen_core.pipeline import Denoiser, KeptLatents, SampleConfig, generate


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
    """Relative L2 distance; a shape that differs is infinitely far."""
    if got.shape != want.shape:
        return math.inf
    return ((got.double() - want.double()).norm() / want.double().norm().clamp_min(1e-12)).item()


def distances(got, want):
    """Relative error of every stored tensor; what was not computed is infinitely far."""
    return {name: relative_error(got[name], tensor) if name in got else math.inf for name, tensor in want.items()}


def beyond(errors, tolerance):
    """Those errors that are not within a tolerance, given as a number or by the last part of the name."""
    limits = tolerance if isinstance(tolerance, dict) else {}
    return {
        name: error for name, error in errors.items() if not error <= limits.get(name.rsplit(".", 1)[-1], tolerance)
    }


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def case_names(folder, stem, *path):
    """Names of the cases that a json file of the folder holds under ``path``; none where there is no such file."""
    found = read_json(folder / f"{stem}.json") if (folder / f"{stem}.json").is_file() else {}
    for key in path:
        found = found.get(key, {})
    return list(found)


class Golden:
    """One stem of the folder: its tensors, its description, and the small network it was made with, on a device."""

    def __init__(self, folder: Path, stem: str, info_stem: str | None = None, device: str = "cpu"):
        self.folder, self.stem, self.device = folder, stem, device
        self.info = read_json(folder / f"{info_stem or stem}.json")
        self.salt = self.info.get("meta", {}).get("salt", "")

    @cached_property
    def data(self):
        return load_file(self.folder / f"{self.stem}.safetensors", device=self.device)

    def seeded(self, name, shape, dtype=torch.float32):
        return seeded_tensor(name, shape, dtype, self.salt).to(self.device)

    def under(self, prefix):
        """Tensors whose name starts with ``prefix``, without it."""
        return {name[len(prefix) :]: tensor for name, tensor in self.data.items() if name.startswith(prefix)}

    @cached_property
    def shapes(self):
        return read_json(self.folder / "state_dict_small.json")

    def config(self, **variant):
        size = self.info["meta"]["config"]
        vocabulary, speech_dim = self.shapes["text_embedding.text_embed.weight"]
        blocks = {int(name.split(".")[2]) for name in self.shapes if name.startswith("text_embedding.text_blocks.")}
        config = ModelConfig(
            video=BranchConfig(size["dim"], size["ffn_dim"], size["num_heads"]),
            audio=BranchConfig(size["audio_dim"], size["audio_ffn_dim"], size["audio_num_heads"]),
            text=TextConfig(
                vocabulary,
                speech_dim,
                speech_ffn_dim=self.shapes["text_embedding.text_blocks.0.pwconv1.weight"][0],
                speech_blocks=len(blocks),
                caption_dim=size["text_dim"],
                caption_length=size["text_len"],
            ),
            num_layers=size["num_layers"],
            num_interactions=self.info["meta"]["interaction_modules_in_state_dict"],
            patch_size=size["patch_size"][-1],
            latent_channels=size["in_dim"],
            mel_bins=size["in_audio_dim"],
            time_dim=size["freq_dim"],
        )
        return replace(config, variant=replace(config.variant, **variant))

    def model(self, dtype=torch.float32, backend=TORCH, **variant):
        with torch.device("meta"):
            model = JointModel(self.config(**variant), backend)
        weights = {name: self.seeded(name, shape, dtype) for name, shape in self.shapes.items()}
        model.load_state_dict(weights, assign=True)
        return model.eval()


@lru_cache
def opened(folder, stem, info_stem=None, device="cpu"):
    return Golden(folder, stem, info_stem, device)


@lru_cache(maxsize=2)
def network(folder, stem, info_stem=None, device="cpu"):
    """The folder's network in the precision the stem's numbers were made in, with that precision's quirks."""
    return network_of(opened(folder, stem, info_stem, device), stem)


def network_of(golden, stem, backend=TORCH):
    """The network of a stem with the layers and kernels of a backend; see ``network``."""
    half = stem.endswith("bf16")
    return golden.model(torch.bfloat16 if half else torch.float32, backend, bfloat16_positions=half)


def interaction_of(a2v, v2a):
    names = {(1, 1): "BOTH", (1, 0): "AUDIO_TO_VIDEO", (0, 1): "VIDEO_TO_AUDIO", (0, 0): "OFF"}
    return Interaction[names[int(a2v), int(v2a)]]


def speech(ids, device="cpu"):
    return torch.tensor([ids], device=device)


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
        device = golden.device
        self.kept = (
            torch.arange(self.video.shape[2], device=device)[None] < kept_latents,
            torch.arange(self.audio.shape[1], device=device)[None] < kept_tokens,
        )
        self.timesteps = (
            torch.where(self.kept[0], info["t_video_ref_and_cond"], info["t_video_noisy"]),
            torch.full(self.kept[1].shape, info["t_audio_all"], device=device),
        )
        self.conditions = Conditions(
            caption=inputs["caption"],
            speech_ids=speech(info["speech_text_ids"], device),
            speech_lengths=torch.tensor([info["speech_text_key_length"]], device=device),
            reference_image=inputs["ref_image"],
            reference_audio=inputs.get("ref_audio"),
            interaction=interaction_of(info["a2v_update_on"], info["v2a_update_on"]),
            skip_layer=info["skip_layer"],
        )

    def run(self, model):
        with torch.inference_mode():
            return model(self.video, self.audio, self.timesteps, self.conditions, self.kept)


class ReleaseKept(KeptLatents):
    """Kept parts with the release's one time for all sound: that of kept sound as soon as any is kept."""

    def timesteps(self, sigma):
        video, audio = super().timesteps(sigma)
        return video, audio * (audio > 0).all()


@dataclass
class Call:
    """One pass of the network within a sampling run."""

    timestep: float
    interaction: Interaction
    skip_layer: int | None
    characters: int

    @classmethod
    def recorded(cls, call):
        """The call as the release made it, by the names of its own switches."""
        off = call.get("zero_con", False)
        switches = (not off and not call.get("no_a2v", False), not off and not call.get("no_v2a", False))
        return cls(call["t"], interaction_of(*switches), call.get("slg"), call["text_ids_len"])


class SamplingCase:
    """One golden sampling run, in this repository's terms."""

    def __init__(self, golden: Golden, precision: str, task: str):
        self.info = info = golden.info[precision][task]
        self.dtype = getattr(torch, precision)
        self.calls = [Call.recorded(call) for call in info["calls"]]
        inputs = {key: golden.seeded(name, shape, self.dtype) for key, (name, shape) in info["inputs"].items()}
        self.noise = (inputs["noise_video"].float(), inputs["noise_audio"].float())
        self.config = SampleConfig(
            steps=info["steps"],
            shift=info["shift"],
            guidance=GuidanceConfig(
                video_scale=info["video_guidance"],
                audio_scale=info["audio_guidance"],
                modality_aware_share=info["macfg_prop"],
                skip_layer=info["slg_layer"],
            ),
        )
        self.kept = self._kept(inputs)
        self.cond = Conditions(
            caption=inputs["caption"],
            speech_ids=speech(info["speech_text_ids"], golden.device),
            speech_lengths=torch.tensor([info["text_key_length"]], device=golden.device),
            reference_image=inputs["ref_image"],
            reference_audio=inputs.get("ref_audio"),
            interaction=self.calls[0].interaction,
        )
        self.null = replace(
            self.cond,
            caption=inputs["neg_caption"],
            speech_ids=speech(info["null_text_ids"], golden.device),
            speech_lengths=torch.tensor([info["null_text_key_length"]], device=golden.device),
            interaction=self.calls[-1].interaction,
        )

    def _kept(self, inputs):
        device = self.noise[0].device
        masks = [torch.arange(n, device=device)[None] < self.info[key] for key, n in self._lengths()]
        clean = [torch.zeros_like(noise) for noise in self.noise]
        if masks[0].any():
            clean[0][:, :, masks[0][0]] = inputs["cond_video"][:, :, : self.info["video_cond"]].float()
        if masks[1].any():
            clean[1][:, masks[1][0]] = inputs["cond_audio"][:, : self.info["audio_cond"]].float()
        return ReleaseKept(*clean, *masks)

    def _lengths(self):
        return ("video_cond", self.noise[0].shape[2]), ("audio_cond", self.noise[1].shape[1])

    @property
    def sigmas(self):
        return release_sigmas(self.config.steps, self.config.shift, self.dtype)

    def run(self, model):
        """Sample; returns everything the folder stores of a run, by its names, and the calls that were made."""
        calls, passes, states = [], [], []
        hooks = [
            model.register_forward_hook(lambda _, given, __: calls.append(call_of(given))),
            model.head.register_forward_hook(lambda _, __, tokens: passes.append([tokens])),
            model.register_forward_hook(lambda _, __, output: passes[-1].append(output.audio[0])),
        ]
        denoiser = Denoiser(model, self.cond, self.null, self.kept, GuidancePlan.of(self.config.guidance, self.sigmas))
        video, audio = generate(denoiser, self.noise, self.sigmas, lambda _, state: states.append(state))
        for hook in hooks:
            hook.remove()
        got = {"final_written_back.mel_log": audio[0] * 2.1544 - 5.1753, "final_written_back.video": video[0]}
        for step in range(1, self.config.steps):
            got |= state_of(f"step{step}.input", states[step - 1])
        got |= state_of("final_raw", states[-1])
        for name, (tokens, heard) in zip(("step0.cond", "step0.null"), passes, strict=False):
            size = (model.config.patch_size, *video.shape[-2:])
            got |= {f"{name}.video": picture_of(tokens[0], *size), f"{name}.audio": heard}
        return got, calls


def call_of(given):
    _, _, timesteps, conditions = given[:4]
    timestep = max(times.max().item() for times in timesteps)
    return Call(timestep, conditions.interaction, conditions.skip_layer, conditions.speech_ids.shape[1])


def state_of(name, latents):
    return {f"{name}.video": latents[0][0], f"{name}.audio": latents[1][0]}


def picture_of(tokens, patch_size, rows, columns):
    """Latents (C, T, rows, columns) that one clip's tokens from the video head, reference included, stand for."""
    down, across = rows // patch_size, columns // patch_size
    patches = tokens.unflatten(0, (-1, down, across)).unflatten(-1, (patch_size, patch_size, -1))
    return patches.permute(5, 0, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


def numbers_in(name):
    return [int(number) for number in re.findall(r"\d+", name)]
