"""The film that finished segments of a long video make, and its file.

Dimension key: F video frames, H and W pixel rows and columns, N samples.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ....uniavgen_core.media.audio.loudness import equal_loudness_gains, under_ceiling
from ....uniavgen_core.media.audio.sound import Sound
from ....uniavgen_core.media.segment_joins import join_frames, join_sounds, soften_seams
from ....uniavgen_core.shapes import FPS, SAMPLE_RATE
from ..media.mux import GENERATED, with_source_type, write_video
from ..media.stream_encoders import EncodedPictures, EncodedSound
from .segment_store import Segment

CROSSFADE_SECONDS = 0.08


def join(segments: Sequence[Segment], kept_frames: int) -> tuple[Tensor, Tensor]:
    """Join segments that share ``kept_frames`` frames with the one before.

    Returns:
        Frames (F, H, W, 3) uint8, and sound (N,) at 24 kHz under the ceiling: segments equally loud, and one gain for
        the whole film.
    """
    shared, fade = kept_frames * SAMPLE_RATE // FPS, round(CROSSFADE_SECONDS * SAMPLE_RATE)
    sounds = [_whole_sound(segment) for segment in segments]
    gains = equal_loudness_gains([part[shared if number else 0 :] for number, part in enumerate(sounds)], SAMPLE_RATE)
    sound = join_sounds([gain * part for gain, part in zip(gains, sounds, strict=True)], shared, fade)
    return join_pictures(segments, kept_frames), under_ceiling(sound[None, None])[0, 0]


def join_pictures(segments: Sequence[Segment], kept_frames: int) -> Tensor:
    """Joined pictures of segments, (F, H, W, 3) uint8."""
    frames = join_frames([segment.frames.float() for segment in segments], kept_frames)
    # A segment's pictures jump a little where its kept latents end and its own begin.
    ends = accumulate(len(segment.frames) - (kept_frames if number else 0) for number, segment in enumerate(segments))
    return soften_seams(frames, list(ends)[:-1]).round().to(torch.uint8)


def _whole_sound(segment: Segment) -> Tensor:
    """A segment's sound, exactly as long as its pictures: whole mel frames may end a little earlier."""
    samples = len(segment.frames) * SAMPLE_RATE // FPS
    return F.pad(segment.waveform[:samples], (0, max(0, samples - len(segment.waveform))))


def save_video(frames: Tensor, sound: Sound, path: Path) -> Path:
    """Write an mp4 of frames (F, H, W, 3) uint8 and sound."""
    pictures = EncodedPictures(frames.float() / 255, Fraction(FPS))
    write_video(path, pictures, EncodedSound(sound, "aac"), with_source_type({}, GENERATED), step=lambda: None)
    return path
