"""Content of a MODEL and of a VAE, for keys: all that changes what is sampled or decoded, and nothing that does not."""

from pathlib import Path
from typing import Any

import comfy.model_patcher
import comfy.sd

from ....uniavgen_core.checkpoint.shard_sets import files_of
from ..content_keys import UnidentifiedError

CHANGES = (
    "patches", "object_patches", "weight_wrapper_patches", "model_options", "attachments", "callbacks", "wrappers",
    "injections", "hook_patches", "forced_hooks",
)  # fmt: skip
"""Attributes of a patcher in which nodes leave what they change of a MODEL."""


def model_content(model: comfy.model_patcher.ModelPatcher) -> tuple[Any, ...]:
    """Content of a MODEL: its files with sizes and times, its loading options, and every change that nodes have made.

    Raises:
        UnidentifiedError: If another model is attached to it, whose files are not known.
    """
    init: Any = model.cached_patcher_init  # set by load_uniavgen
    path, options = init[1]
    others = [name for name, models in model.additional_models.items() if models]
    if others:
        raise UnidentifiedError(f"the model that is attached as {others[0]!r}")
    files = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files_of(Path(path))]
    changes = {name: _without_the_model(getattr(model, name), model.model) for name in CHANGES}
    return files, sorted((name, str(value)) for name, value in options.items()), changes


def vae_content(vae: comfy.sd.VAE) -> tuple[Any, ...]:
    """Content of a VAE: its kind and its weights.

    Raises:
        UnidentifiedError: If it is no VAE with a network of its own.
    """
    network: Any = getattr(vae, "first_stage_model", None)
    if network is None:
        raise UnidentifiedError("the video VAE")
    return type(vae), type(network), network.state_dict(), str(vae.vae_dtype)


def _without_the_model(value: Any, model: Any) -> Any:
    """A nested value in which the model itself, known by its files, is left out."""
    if value is model:
        return "the model"
    if isinstance(value, dict):
        return {key: _without_the_model(item, model) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_the_model(item, model) for item in value]
    return value
