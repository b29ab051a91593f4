"""The sampling that suits a model, for widgets that are set to automatic."""

from typing import Any

from ....uniavgen_core.diffusion.sampling_presets import PRESETS, TOON, SamplingPreset


def is_bundled(model: Any) -> bool:
    """True if a MODEL is the bundled one, by the name that its file, or its configuration, gives it."""
    clips = getattr(getattr(model.model, "model_config", None), "clips", None)
    return clips is not None and clips.is_bundled


def own_preset(model: Any) -> SamplingPreset:
    """Preset that suits a MODEL: the bundled model's own, or the release's."""
    return TOON if is_bundled(model) else PRESETS["release"]
