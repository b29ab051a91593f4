"""Griffin-Lim whose latest sound is kept: a sampled clip is heard in its preview and decoded right after it.

Dimension key: B clips, F mel frames.
"""

from threading import Lock

import torch
from torch import Tensor

from ....uniavgen_core.media.audio.griffin_lim import GriffinLim


class SharedGriffinLim:
    """Griffin-Lim that vocodes the same mel once, though two threads ask for its sound.

    Attributes:
        vocoder: Vocoder of mels that are new.
    """

    def __init__(self) -> None:
        self.vocoder = GriffinLim()
        self._lock = Lock()
        self._latest: tuple[Tensor, Tensor] | None = None

    def decode(self, log_mel: Tensor) -> Tensor:
        """Vocode a log-mel (B, 80, F) to sound (B, 240 F), which others share: do not write to it."""
        with self._lock:
            if self._latest is None or not _equal(self._latest[0], log_mel):
                self._latest = log_mel, self.vocoder.decode(log_mel)
            return self._latest[1]


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.device == other.device and torch.equal(one, other)


RESULT_VOCODER = SharedGriffinLim()
"""Vocoder of results, for the preview and the clip."""
