"""Sound of the bundled model: Griffin-Lim, with peaks under the ceiling.

Dimension key: B clips, S mel frames, N samples.
"""

from torch import Tensor

from ..media.audio.griffin_lim import GriffinLim
from ..media.audio.loudness import under_ceiling
from ..media.audio.mel import denormalize_mel


def vocode(audio: Tensor) -> Tensor:
    """Vocode normalised mels (B, S, 80) with S >= 2 to waveforms at 24 kHz, (B, N) float32; see ``GriffinLim``."""
    return under_ceiling(GriffinLim().decode(denormalize_mel(audio.float()).mT)[:, None])[:, 0]
