"""The sampling that suits a model, for widgets that are set to automatic."""

from typing import Any

from ....uniavgen_core.diffusion.sampling_presets import PRESETS, TOON, TOON_REGIONS, SamplingPreset
from .joint_latent import keeps_regions, masks_of


def is_bundled(model: Any) -> bool:
    """True if a MODEL is the bundled one, by the name that its file, or its configuration, gives it."""
    clips = getattr(getattr(model.model, "model_config", None), "clips", None)
    return clips is not None and clips.is_bundled


def own_preset(model: Any, latent: dict | None = None) -> SamplingPreset:
    """Preset that suits a model: the bundled model's own, or the release's.

    Args:
        model: MODEL.
        latent: Joint LATENT that is to be sampled, or None if no region of its picture is kept.
    """
    if not is_bundled(model):
        return PRESETS["release"]
    blends = latent is not None and bool(keeps_regions(masks_of(latent)[0]).any())
    return TOON_REGIONS if blends else TOON
