"""Passes and sampling runs of the folder's network, measured against what the folder stores of them.

Needs no pytest: the measurement on a card (``benchmarks card``) uses it too.
"""

import re

import torch

from tests.parity.fixtures import ForwardCase, Golden, SamplingCase, distances, network_of, picture_of

__all__ = ["Golden", "forward_errors", "network_of", "sampling_errors"]


class Recorder:
    """Collects what the folder stores of a pass, by the folder's names."""

    def __init__(self, model):
        self.model, self.seen, self.entered, self.order = model, {}, [], []
        self.hooks = []

    def __enter__(self):
        model = self.model
        single = (
            "patch_embedding audio_embedding text_embedding text_embedding_video text_proj time_embedding "
            "time_embedding_audio time_projection time_projection_audio head"
        )
        modules = {name: model.get_submodule(name) for name in single.split()}
        for kind in ("blocks", "audio_blocks", "a2v_blocks", "v2a_blocks"):
            modules |= {f"{kind}.{i}": module for i, module in enumerate(getattr(model, kind))}
        for name, module in modules.items():
            self.hooks.append(module.register_forward_hook(self._keeper(name)))
        for layer, (video, audio) in enumerate(zip(model.blocks, model.audio_blocks, strict=True)):
            self.hooks.append(video.register_forward_pre_hook(self._entrance(layer, "video")))
            self.hooks.append(audio.register_forward_pre_hook(self._entrance(layer, "audio")))
        return self

    def __exit__(self, *_):
        for hook in self.hooks:
            hook.remove()

    def _keeper(self, name):
        return lambda _, __, output: self.seen.__setitem__(name, output[0])

    def _entrance(self, layer, branch):
        return lambda _, given: self.entered.append((layer, branch, given[0].tokens[0]))

    def hidden(self, name):
        """The stored hidden state ``name``, such as ``block0.video``, ``inter0.audio`` or ``a2v0.output``."""
        kind, number, rest = re.fullmatch(r"(block|inter|a2v|v2a)(\d+)\.(\w+)", name).groups()
        number = int(number)
        if kind == "block":
            return self.seen[f"{'audio_' if rest == 'audio' else ''}blocks.{number}"]
        if kind == "inter":
            return next(tokens for layer, branch, tokens in self.entered if layer > number and branch == rest)
        return self.seen[f"{kind}_blocks.{number}"]

    def embedding(self, name):
        """The stored embedding ``pre.name``; times are stored once for clean and once for noisy tokens."""
        value = self.seen[name]
        if not name.startswith("time"):
            return value
        value = value.flatten(1)
        return value[-1] if name.endswith("audio") else torch.stack((value[0], value[-1]))


def forward_errors(golden, model, name):
    """Relative error of everything that the folder stores of one pass."""
    case = ForwardCase(golden, name, next(model.parameters()).dtype)
    with Recorder(model) as recorder:
        output = case.run(model)
    want, got = golden.under(f"{name}/"), {}
    layers = [layer for layer in golden.info["meta"]["interaction_layers_used"] if layer != case.info["skip_layer"]]
    got |= {f"mask.layer{layer}": mask for layer, mask in zip(layers, output.face_masks[0], strict=True)}
    got["video"] = picture_of(recorder.seen["head"], model.config.patch_size, *case.video.shape[-2:])
    got["audio"] = output.audio[0]
    assert torch.equal(got["video"][:, 1:], output.video[0]), "the reference latent is dropped and nothing else"
    for key in want:
        if key.startswith("pre."):
            got[key] = recorder.embedding(key.removeprefix("pre."))
        elif key not in got:
            got[key] = recorder.hidden(key)
    return distances({key: tensor.float() for key, tensor in got.items()}, want)


def sampling_errors(golden, model, precision, task):
    """Relative error of everything that the folder stores of one sampling run, with the run and its calls."""
    case = SamplingCase(golden, precision, task)
    got, calls = case.run(model)
    return distances({name: tensor.float() for name, tensor in got.items()}, golden.under(f"{task}/")), case, calls
