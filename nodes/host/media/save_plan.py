"""Planning and writing of a clip's files: streams to copy, streams to encode, and notices for the user.

Dimension key: F video frames, H and W pixel rows and columns, C channels, N samples.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from ....uniavgen_core.media.audio.sound import Sound
from ....uniavgen_core.shapes import FPS
from ..notices import interruptible_progress
from .footage import check_sides
from .mux import COMPOSITE, GENERATED, with_source_type, write_sound, write_video
from .source_media import SourceMedia
from .stream_copy import CannotCopyError, OriginalVideo, find_original
from .stream_encoders import AAC_RATES, LAYOUTS, EncodedPictures, EncodedSound, exact_bits

AUTO, FLAC, AAC, LOSSLESS = "auto", "flac", "aac", "lossless"
NTSC = 1001
"""Denominator of NTSC frame rates, such as 30000/1001."""
LARGEST_DENOMINATOR = 100_000
SAME_RATE = 1e-6


@dataclass(frozen=True)
class Clip:
    """A clip to save.

    Attributes:
        images: Pictures in [0, 1], (F, H, W, 3).
        sound: The sound, or None.
        given: The parts of it that are the user's own.
        fps: Frames per second.
    """

    images: Tensor
    sound: Sound | None
    given: SourceMedia
    fps: Fraction

    @classmethod
    def of(cls, images: Tensor, audio: Mapping | None, given: SourceMedia, fps: float) -> "Clip":
        """Build a clip from the inputs of the node.

        Args:
            images: IMAGE.
            audio: AUDIO, or None.
            given: The user's own parts of the clip.
            fps: Frames per second; 0 for the rate of ``given``.

        Raises:
            ValueError: If these are not the pictures and the sound of one clip.
        """
        if images.ndim != 4 or images.shape[-1] < 3 or not len(images):
            raise ValueError(f"The images have shape {tuple(images.shape)}; a video needs (frames, height, width, 3).")
        check_sides((images.shape[2], images.shape[1]), "the clip")
        sound = None
        if audio is not None and audio["waveform"].shape[-1]:
            sound = Sound(_one_sound(audio["waveform"]), int(audio["sample_rate"]))
        return cls(images[..., :3], sound, given, exact_rate(fps, given.fps))


def _one_sound(waveform: Tensor) -> Tensor:
    """Waveform (C, N) of an AUDIO that holds one sound."""
    if waveform.ndim != 3 or len(waveform) != 1:
        raise ValueError(
            f"The waveform of the audio has shape {tuple(waveform.shape)}; one clip needs (1, channels, samples). "
            "Save clips one by one."
        )
    if waveform.shape[1] not in LAYOUTS:
        raise ValueError(f"The audio has {waveform.shape[1]} channels; a video file holds 1 to 8. Mix some of them.")
    return waveform[0].float().cpu()


def exact_rate(fps: float, given: Fraction | None) -> Fraction:
    """Exact frame rate as a fraction.

    Args:
        fps: Frames per second as ComfyUI passes them on, a float; 0 for the rate of the user's video.
        given: Exact rate of the user's video, or None.

    Raises:
        ValueError: If ``fps`` is negative.
    """
    if fps < 0:
        raise ValueError(f"fps is {fps:g}; it must be positive, or 0 for the rate of your video.")
    if given is not None and (not fps or abs(fps / float(given) - 1) < SAME_RATE):
        rate = given
    else:
        rate = Fraction(fps).limit_denominator(NTSC) if fps else Fraction(FPS)
    return rate if rate.denominator <= LARGEST_DENOMINATOR else rate.limit_denominator(NTSC)


@dataclass(frozen=True)
class SavePlan:
    """Plan of a clip's files.

    Attributes:
        pictures: Frames to encode, or packets of the original to copy.
        sound: Sound to encode, or None.
        sound_file: Lossless sound for a separate file, or None.
        source_type: Digital source type.
        notices: Notices for the user.
    """

    pictures: EncodedPictures | OriginalVideo
    sound: EncodedSound | None
    sound_file: EncodedSound | None
    source_type: str
    notices: tuple[str, ...]


def plan_files(clip: Clip, sound: str, picture: str) -> SavePlan:
    """Plan the files of a clip.

    Args:
        clip: The clip.
        sound: ``AUTO``, ``FLAC`` or ``AAC``.
        picture: ``AUTO`` or ``LOSSLESS``.
    """
    pictures, picture_notices = _plan_pictures(clip, picture)
    track, sound_notices = _plan_sound(clip, sound)
    sound_file = None
    if clip.sound is not None and track is not None and clip.given.keeps_sound and track.codec == "aac":
        sound_file = EncodedSound(clip.sound, "flac")
    source_type = COMPOSITE if clip.given.keeps_any else GENERATED
    return SavePlan(pictures, track, sound_file, source_type, (*picture_notices, *sound_notices))


def _plan_pictures(clip: Clip, picture: str) -> tuple[EncodedPictures | OriginalVideo, list[str]]:
    """Packets of the original video if all pictures come from it, else frames to encode; and notices."""
    notices = []
    if picture == AUTO and clip.given.is_whole_video(clip.images):
        try:
            original = find_original(clip.given.video, len(clip.images))
        except CannotCopyError as error:
            notices.append(f"The video is re-encoded (H.264, high quality), because {error}.")
        else:
            if original.suffix == ".mkv":
                notices.append(
                    "The video's stream is copied into an mkv file, because mp4 files cannot hold its codec. Browsers "
                    "may not play it."
                )
            return original, notices
    height, width = clip.images.shape[1:3]
    if picture != LOSSLESS and (height % 2 or width % 2):
        notices.append(
            f"The frames are {width}x{height}, but H.264 needs even sides: the last odd column or row is dropped. "
            "Choose 'lossless' to keep it."
        )
    return EncodedPictures(clip.images, clip.fps, lossless=picture == LOSSLESS), notices


def _plan_sound(clip: Clip, choice: str) -> tuple[EncodedSound | None, list[str]]:
    """Sound to encode, or None, and notices."""
    if clip.sound is None:
        return None, []
    notices = []
    over = int((clip.sound.waveform.abs() > 1).sum())
    if over:
        notices.append(f"{over} audio samples exceed full scale and are clipped in the file.")
    codec = "flac" if choice == FLAC or (choice == AUTO and clip.given.keeps_sound) else "aac"
    rate = clip.sound.sample_rate
    if codec == "aac" and rate not in AAC_RATES:
        codec = "flac"
        notices.append(f"AAC does not support {rate} Hz, so the audio is stored without loss (FLAC).")
    if codec == "flac" and exact_bits(clip.sound.waveform) is None:
        logging.info("UniAVGen: The audio is rounded to 24 bits, which changes it by at most 6e-8 (-144 dB).")
    return EncodedSound(clip.sound, codec), notices


def save_clip(plan: SavePlan, path: Path, tags: Mapping[str, str]) -> list[str]:
    """Write the files of a clip, with a progress bar; the user can cancel it.

    Args:
        plan: Plan of the files.
        path: Path of the video.
        tags: Metadata.

    Returns:
        Notices for the user.
    """
    tags = with_source_type(tags, plan.source_type)
    notices = list(plan.notices)
    write_video(path, plan.pictures, plan.sound, tags, interruptible_progress(len(plan.pictures)))
    if plan.sound_file is not None:
        sound_path = path.with_suffix(".flac")
        write_sound(sound_path, plan.sound_file, tags)
        notices.append(f"AAC is lossy; your original audio is in {sound_path.name}.")
    return notices
