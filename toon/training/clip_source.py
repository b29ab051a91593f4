"""Toons as a source of clips: drawn when they are asked for, with their exact masks. Nothing is written."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch

from uniavgen_core.shapes import FPS, SAMPLE_RATE
from uniavgen_core.training.data.clip_form import ClipForm
from uniavgen_core.training.data.clip_record import BadClipError, ClipRecord, ClipSource, DecodedClip, Offer, Skipped

from ..clips.clip import ToonClip, make_clip
from ..clips.speech import VOICES, make_speech

TOON_FRAMES = 33


@dataclass(frozen=True)
class ToonJob:
    """One toon.

    Attributes:
        seed: What it is drawn from.
    """

    seed: int

    def clips(self) -> Iterator[Offer | Skipped]:
        """Yield the toon. It is drawn small for its texts, and again at its size when it is decoded."""
        clip = make_clip(self.seed, TOON_FRAMES, 32)
        yield Offer(toon_record(clip), f"toon {self.seed}", partial(decode_toon, self.seed))


def toon_record(clip: ToonClip) -> ClipRecord:
    """Description of a toon, as a manifest has it."""
    voice = VOICES[clip.voice].split("+")[-1]
    return ClipRecord(f"toon_{clip.seed:07d}", clip.caption, clip.transcript, f"toon {voice}", "en")


def decode_toon(seed: int, form: ClipForm) -> DecodedClip:
    """Draw a toon in the form that is asked for.

    Raises:
        BadClipError: If the form leaves nothing of its 33 frames.
        ValueError: If the form is not square, as toons are.
    """
    width, height = form.size_of(1, 1)
    if width != height:
        raise ValueError(f"Toons are square pictures, not {width} x {height}. Give a size such as 128x128.")
    frames = form.frames_of(TOON_FRAMES)
    if not frames:
        raise BadClipError(
            "too short", f"Toons have {TOON_FRAMES} frames; at least {form.fewest_frames} are asked for."
        )
    cut = frames < TOON_FRAMES
    if form.sound_only:
        waveform = make_speech(seed, TOON_FRAMES).waveform[: frames * SAMPLE_RATE // FPS]
        return DecodedClip(None, torch.from_numpy(waveform), cut)
    clip = make_clip(seed, TOON_FRAMES, width).window(0, frames)
    return DecodedClip(clip.frames, torch.from_numpy(clip.waveform), cut, clip.face_mask, clip.mouth_mask)


def open_toons(text: str) -> ClipSource:
    """Clips of ``COUNT`` or ``COUNT:FIRST_SEED``.

    Raises:
        ValueError: If a number is missing or wrong.
    """
    numbers = text.split(":")
    if len(numbers) > 2 or not all(number.isdecimal() for number in numbers):
        raise ValueError(
            f"The source is 'toon:{text}'; toons are toon:COUNT or toon:COUNT:FIRST_SEED, such as toon:100."
        )
    count, first = int(numbers[0]), int(numbers[1]) if len(numbers) == 2 else 0
    if not count:
        raise ValueError(f"The source is 'toon:{text}': no toon at all. Ask for one or more.")
    return ClipSource("toon", tuple(ToonJob(seed) for seed in range(first, first + count)), count=count)
