"""The sampling that suits a model, for widgets that are set to automatic."""

from typing import Any

from ....uniavgen_core.checkpoint.own_sampling import suitable_preset
from ....uniavgen_core.diffusion.sampling_presets import SamplingPreset


def is_bundled(model: Any) -> bool:
    """True if a MODEL is the bundled one, by the name that its file, or its configuration, gives it."""
    clips = _known(model, "clips")
    return clips is not None and clips.is_bundled


def own_preset(model: Any) -> SamplingPreset:
    """Preset that suits a MODEL; see ``suitable_preset``."""
    return suitable_preset(_known(model, "own_sampling"), _known(model, "clips"))


def _known(model: Any, name: str) -> Any:
    """A fact about a MODEL from its file; None if the file does not say, or the MODEL is of another family."""
    return getattr(getattr(model.model, "model_config", None), name, None)
