"""Sampling that suits the weights in a file where it is not the release's, from the file's metadata."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ..config import GuidanceConfig
from ..diffusion.sampling_presets import NO_GUIDANCE, PRESETS, TOON, SamplingPreset, Schedule
from .config_checks import read_entry
from .trained_on import TrainedOn

SAMPLING_KEY = "uniavgen_sampling"
"""Metadata: JSON of an ``OwnSampling``."""
MOST_STEPS = 1000


@dataclass(frozen=True)
class OwnSampling:
    """Sampling that suits a network.

    Attributes:
        steps: Euler steps at the release's noise levels.
        guided: False for a network that learned guidance in training, so that both scales are 1.

    Raises:
        ValueError: If ``steps`` is out of its range.
    """

    steps: int = PRESETS["release"].steps
    guided: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= MOST_STEPS:
            raise ValueError(f"steps is {self.steps}; it must be from 1 to {MOST_STEPS}")

    @property
    def preset(self) -> SamplingPreset:
        """Settings for a sampler."""
        guidance = GuidanceConfig() if self.guided else NO_GUIDANCE
        return SamplingPreset(self.steps, "euler", Schedule.RELEASE, guidance=guidance)

    @property
    def metadata(self) -> dict[str, str]:
        """Metadata from which ``own_sampling`` restores this."""
        return {SAMPLING_KEY: json.dumps(asdict(self))}


def own_sampling(metadata: Mapping[str, str]) -> OwnSampling | None:
    """Read the sampling that suits the network of a file; None where its metadata do not say.

    Raises:
        CheckpointError: If the metadata's entry cannot be read.
    """
    text = metadata.get(SAMPLING_KEY)
    return None if text is None else read_entry(OwnSampling, text, SAMPLING_KEY)


def suitable_preset(own: OwnSampling | None, clips: TrainedOn | None) -> SamplingPreset:
    """Preset that suits a network: that of its file, the bundled model's, or else the release's.

    Args:
        own: Sampling that the file says.
        clips: Clips of its training, by which the bundled model is known.
    """
    if own is not None:
        return own.preset
    return TOON if clips is not None and clips.is_bundled else PRESETS["release"]
