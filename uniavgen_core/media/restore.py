"""Restoring a user's own frames and sound, bit for bit, in the generated clip.

The result has the source's timeline, frame rate, size, sample rate and channels. The generated clip begins
``lead_seconds`` into it. Every sample and frame that is kept, or for which nothing was generated, is the source's, bit
for bit. Only generated sound is adapted: its level, its peaks, its rate, and 15 ms next to kept sound.

Dimension key: F source frames, G generated frames, H rows, W columns, C channels, N samples.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, pi

import torch
import torch.nn.functional as F
from torch import Tensor

from ..shapes import FPS
from .audio.loudness import CEILING, limited, under_ceiling
from .audio.sound import Sound, at_rate
from .codec_error import carry_over_joins
from .time_spans import NOTHING, Spans
from .video.frames import Fit, frame_times, nearest_frames, resize_frames
from .video.region_joins import join_region

Range = tuple[int, int]  # First sample and the one after the last.

FADE_SECONDS = 0.015
_LEVEL_SECONDS = 1.0
_SHORTEST_LEVEL_SECONDS = 0.05
_AUDIBLE = 1e-3
_TINY = 1e-6
_LARGEST_GAIN = 100.0
_JOINED_AT_ONCE = 16
_LARGEST_GUESS = 4.0  # Where the generated clip does not repeat the kept sound, its level can only be estimated.


@dataclass(frozen=True)
class Source:
    """A user's own media, and which parts of them are kept.

    Attributes:
        frames: (F, H, W, 3), or None. If the clip was generated at another size, the frames were stretched to it.
        fps: Frame rate, exact if it is a fraction.
        sound: The sound, or None.
        video_kept: Kept frames, in the source's time.
        audio_kept: Kept sound, in the source's time.
        lead_seconds: Length of the source before the generated clip begins; 0 except in continuation.
        ends_with_source: Whether the result is as long as the source, as in dubbing or audio-driven generation;
            otherwise it ends with the generated clip, or with the last kept part.
        region: Weight of what is generated in each pixel of every frame, (F, H, W) in [0, 1]; the rest of the frames is
            kept too. None where whole frames are generated.
        view: Left, top, right and bottom of the part of the frames that the clip shows, pixels, with the region inside;
            None for all.
    """

    frames: Tensor | None = None
    fps: float | Fraction = FPS
    sound: Sound | None = None
    video_kept: Spans = NOTHING
    audio_kept: Spans = NOTHING
    lead_seconds: float = 0.0
    ends_with_source: bool = False
    region: Tensor | None = None
    view: tuple[int, int, int, int] | None = None

    @property
    def seconds(self) -> float:
        """Length of the source: of its frames, or else of its sound."""
        if self.frames is not None:
            return float(len(self.frames) / self.fps)
        return self.sound.seconds if self.sound else 0.0


def restore_sound(generated: Sound, source: Source) -> Sound:
    """Restore the kept sound of a source in generated sound.

    Generated sound takes the level of the kept sound next to it. Within the generated part, it crossfades with that
    sound mirrored at the border, so that neither the waveform nor the loudness jumps. Its peaks are brought under the
    ceiling.

    Args:
        generated: The whole generated clip, with its own version of the kept parts.
        source: The source.

    Returns:
        Sound at the source's rate with the source's channels; for a source without sound, the generated sound after
        ``lead_seconds`` of silence.
    """
    if source.sound is None:
        return _without_source(generated, source)
    own, rate = source.sound, source.sound.sample_rate
    start = round(source.lead_seconds * rate)
    new = at_rate(generated, rate).waveform.to(own.waveform)
    if len(new) != len(own.waveform):
        new = new.mean(0, keepdim=True).expand(len(own.waveform), -1)
    kept = source.audio_kept.sample_ranges(own.samples, rate)
    length = max([_length(source, start + new.shape[1], rate), *(stop for _, stop in kept)])
    track = _Track(own=_fit(own.waveform, length), new=_fit(_later(new, start), length), rate=rate)
    span = start, min(start + new.shape[1], length)
    gaps = _gaps(kept, span)
    result = track.own.clone()
    edges = [0, *(edge for gap in gaps for edge in gap), length]
    for index, (first, stop) in enumerate(gaps):
        before, after = (edges[2 * index], first), (stop, edges[2 * index + 3])
        result[:, first:stop] = track.filling((first, stop), before, after, span)
    return Sound(result, rate)


def restore_frames(generated: Tensor, source: Source) -> tuple[Tensor, float | Fraction]:
    """Restore the kept frames of a source in a generated video.

    The codec's error in a kept frame is compensated in the generated frames next to it, see ``codec_error``.

    Args:
        generated: The whole generated clip at 16 fps, (G, h, w, 3).
        source: The source.

    Returns:
        Frames at the source's rate and size, and that rate; for a source without frames, the generated ones at 16 fps.
        ``source.frames`` itself if all of them are kept and no others are added.
    """
    original = source.frames
    if original is None:
        return _cut_frames(generated, source), FPS
    if source.view is not None:
        return _restored_around(generated, original, source, source.view), source.fps
    fps = float(source.fps)
    lead, end = source.lead_seconds, source.lead_seconds + len(generated) / FPS
    own_count = len(original)
    kept = source.video_kept.frame_mask(own_count, fps)
    kept_end = int(kept.nonzero()[-1]) + 1 if kept.any() else 0
    length = own_count if source.ends_with_source else max(round(end * fps), kept_end)
    times = frame_times(length, fps)
    own, covered = _own_and_covered(times + 0.5 / fps, (lead, end), kept)
    if length == own_count and own.all():
        return original, source.fps
    result = original.new_empty((length, *original.shape[1:]))
    result[own] = original[:length][own[:own_count]]
    result[~own] = _generated_frames(generated, times[~own] - lead, original)

    def version(number: int) -> Tensor | None:
        here = slice(number, number + 1)
        return _generated_frames(generated, times[here] - lead, original)[0] if covered[number] else None

    carry_over_joins(result, own, version, fps, enlarged=result.shape[2] / generated.shape[2])
    if source.region is not None:
        _keep_around(result, original, source.region, ~own[:own_count])
    return result, source.fps


@dataclass(frozen=True)
class _Track:
    """The source's and the generated waveform on one timeline, (C, N) each, zero where there is none."""

    own: Tensor
    new: Tensor
    rate: int

    def filling(self, gap: Range, before: Range, after: Range, generated: Range) -> Tensor:
        """Sound for a gap, at the level of the samples kept before and after it, if any, and crossfaded with them."""
        (first, stop), window = gap, round(_LEVEL_SECONDS * self.rate)
        before, after = (max(before[0], first - window), first), (stop, min(after[1], stop + window))
        gains = [gain for side in (before, after) if (gain := self._gain(side, gap, generated)) is not None]
        is_alone = not gains
        gains = gains or [1.0]
        steps = torch.linspace(0, 1, stop - first, device=self.own.device, dtype=self.own.dtype)
        filling = self.new[:, first:stop] * (gains[0] * (gains[-1] / gains[0]) ** steps)
        filling = under_ceiling(filling[None])[0] if is_alone else limited(filling, self.rate)
        fade = min(round(FADE_SECONDS * self.rate), (stop - first) // 2)
        filling = _fade_in(filling, self.own[:, slice(*before)].flip(1)[:, :fade])
        return _fade_in(filling.flip(1), self.own[:, slice(*after)][:, :fade]).flip(1)

    def _gain(self, kept: Range, gap: Range, generated: Range) -> float | None:
        """Gain that gives generated sound the level of kept samples next to a gap; None if either is silent."""
        both = max(kept[0], generated[0]), min(kept[1], generated[1])
        largest = _LARGEST_GAIN
        if both[1] - both[0] >= _SHORTEST_LEVEL_SECONDS * self.rate:
            own, new = self.own[:, slice(*both)], self.new[:, slice(*both)]
        else:  # The generated clip has no version of its own of what is kept, so a part of the gap must do.
            largest, length = _LARGEST_GUESS, kept[1] - kept[0]
            near = (
                (gap[0], min(gap[0] + length, gap[1])) if kept[1] == gap[0] else (max(gap[1] - length, gap[0]), gap[1])
            )
            own, new = self.own[:, slice(*kept)], self.new[:, slice(*near)]
        if not own.numel():
            return None
        levels = [part.square().mean().sqrt().item() for part in (own, new)]
        if min(levels) < _AUDIBLE:
            return None
        return min(max(levels[0] / levels[1], 1 / largest), largest)


def _without_source(generated: Sound, source: Source) -> Sound:
    """Generated sound for a source without sound: after the lead, and cut at the end of the source."""
    generated = replace(generated, waveform=under_ceiling(generated.waveform[None])[0])
    start = round(source.lead_seconds * generated.sample_rate)
    length = _length(source, start + generated.samples, generated.sample_rate)
    if start == 0 and length == generated.samples:
        return generated
    return Sound(_fit(_later(generated.waveform, start), length), generated.sample_rate)


def _length(source: Source, generated_stop: int, rate: int) -> int:
    """Number of samples of the result, without kept samples after them."""
    return round(source.seconds * rate) if source.ends_with_source else generated_stop


def _later(waveform: Tensor, samples: int) -> Tensor:
    """Prepend silence to a waveform (C, N)."""
    return F.pad(waveform, (samples, 0))


def _fit(waveform: Tensor, length: int) -> Tensor:
    """Cut a waveform (C, N) to a length, or pad it with silence."""
    return F.pad(waveform[:, :length], (0, max(0, length - waveform.shape[1])))


def _gaps(kept: list[Range], span: Range) -> list[Range]:
    """Ranges of ``span`` that are not kept."""
    inside = [(max(first, span[0]), min(last, span[1])) for first, last in kept if first < span[1] and last > span[0]]
    edges = [span[0], *(edge for pair in inside for edge in pair), span[1]]
    return [(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True) if last > first]


def _fade_in(filling: Tensor, mirrored: Tensor) -> Tensor:
    """Crossfade from ``mirrored`` (C, n) to the beginning of a waveform (C, N) at constant power.

    If the sum would peak above both, the crossfade is linear, which cannot.
    """
    length = min(mirrored.shape[1], filling.shape[1])
    angle = torch.linspace(0, pi / 2, length + 2, device=filling.device, dtype=filling.dtype)[1:-1]
    begin, mirrored = filling[:, :length], mirrored[:, :length]
    head = begin * angle.sin() + mirrored * angle.cos()
    if head.numel() and head.abs().max() > max(CEILING, mirrored.abs().max()):
        head = begin * angle.sin().square() + mirrored * angle.cos().square()
    return torch.cat([head, filling[:, length:]], 1)


def _own_and_covered(middles: Tensor, span: tuple[float, float], kept: Tensor) -> tuple[Tensor, Tensor]:
    """True for frames with these middles that are the source's, and for those in the span of a generated clip.

    ``kept`` is true for kept frames of the source, bool, (F,).
    """
    covered = (middles >= span[0]) & (middles <= span[1])
    own = ~covered
    own[: len(kept)] |= kept[: len(middles)]
    own[len(kept) :] = False
    return own, covered


def _keep_around(result: Tensor, original: Tensor, region: Tensor, generated: Tensor) -> None:
    """Put a source's pixels around a region into the frames of a result that are generated, bool, (F,)."""
    for number in generated.nonzero()[:, 0].split(_JOINED_AT_ONCE):
        result[number] = join_region(original[number], result[number], region[number])


def _restored_around(generated: Tensor, original: Tensor, source: Source, view: tuple[int, int, int, int]) -> Tensor:
    """Frames (F, H, W, 3) of a source of which the clip shows a part."""
    left, top, right, bottom = view
    part = (slice(None), slice(top, bottom), slice(left, right))
    region = None if source.region is None else source.region[part]
    result = original.clone()
    result[part], _ = restore_frames(generated, replace(source, frames=original[part], region=region, view=None))
    return result


def _cut_frames(generated: Tensor, source: Source) -> Tensor:
    """Generated frames for a source without frames, cut at the end of its sound if the result ends with the source."""
    if not source.ends_with_source or source.sound is None:
        return generated
    return generated[: max(1, ceil(source.seconds * FPS - _TINY))]


def _generated_frames(generated: Tensor, times: Tensor, like: Tensor) -> Tensor:
    """Generated frames (G, h, w, 3) nearest to given times, in the size and dtype of ``like``."""
    chosen, places = nearest_frames(len(generated), FPS, times).unique(return_inverse=True)
    frames = resize_frames(generated[chosen.to(generated.device)], like.shape[2], like.shape[1], Fit.STRETCH)
    return frames.to(like)[places.to(like.device)]
