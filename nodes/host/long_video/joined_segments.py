"""Pictures and sound of the film that finished segments make.

Dimension key: F video frames, H and W pixel rows and columns, N samples.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import torch.nn.functional as F
from torch import Tensor

from ....uniavgen_core.media.audio.loudness import equal_loudness_gains, under_ceiling
from ....uniavgen_core.media.audio.sound import Sound
from ....uniavgen_core.media.segment_joins import join_frames, join_sounds
from ....uniavgen_core.shapes import FPS, SAMPLE_RATE
from .segment_store import FinishedSegments, Segment

CROSSFADE_SECONDS = 0.08


@dataclass(frozen=True)
class JoinedPictures:
    """Pictures of segments that share ``kept_frames`` frames with the one before, joined while they are read.

    Attributes:
        segments: The segments.
        kept_frames: Frames that neighbours share.
        length: Frames after which the film ends; None for all.
    """

    segments: FinishedSegments
    kept_frames: int
    length: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames, height, width and 3 colours."""
        return self._shape

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        sizes = [segment.frames.shape for segment in self.segments]
        count = sum(size[0] for size in sizes) - self.kept_frames * (len(sizes) - 1)
        return (count if self.length is None else min(count, self.length), sizes[0][1], sizes[0][2], 3)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        """Yield pictures (H, W, 3) in [0, 1], of 8 bits a colour."""
        parts = (segment.frames.float() for segment in self.segments)
        for frame in islice(join_frames(parts, self.kept_frames), len(self)):
            yield frame.round() / 255


def join_speech(segments: FinishedSegments, kept_frames: int) -> Sound:
    """Generated sound of segments that share ``kept_frames`` frames with the one before.

    Returns:
        Sound at 24 kHz under the ceiling: segments equally loud, and one gain for the whole film.
    """
    shared, fade = kept_frames * SAMPLE_RATE // FPS, round(CROSSFADE_SECONDS * SAMPLE_RATE)
    sounds = [_whole_sound(segment) for segment in segments]
    gains = equal_loudness_gains([part[shared if number else 0 :] for number, part in enumerate(sounds)], SAMPLE_RATE)
    sound = join_sounds([gain * part for gain, part in zip(gains, sounds, strict=True)], shared, fade)
    return Sound(under_ceiling(sound[None, None])[0], SAMPLE_RATE)


def _whole_sound(segment: Segment) -> Tensor:
    """A segment's sound, exactly as long as its pictures: whole mel frames may end a little earlier."""
    samples = len(segment.frames) * SAMPLE_RATE // FPS
    return F.pad(segment.waveform[:samples], (0, max(0, samples - len(segment.waveform))))
