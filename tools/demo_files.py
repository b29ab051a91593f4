"""Looks into the user's files before a server is started for them.

Uses av and Pillow, which ComfyUI brings.
"""

from argparse import Namespace
from contextlib import suppress
from pathlib import Path

import av
from PIL import Image

from .console import DevError

UNREADABLE = (av.FFmpegError, IndexError, OSError, ValueError)


def check_files(options: Namespace) -> None:
    """Refuse a file of the demo's options that holds nothing of its kind.

    Raises:
        DevError: One does; names it.
    """
    if options.image and not (_decodes(options.image) or _opens(options.image)):
        raise DevError(f"{options.image} is no picture that can be read. Save it as PNG or JPEG.")
    if options.audio and not _has_sound(options.audio):
        raise DevError(f"{options.audio} has no sound that can be read. Save it as WAV, FLAC or MP3.")
    if options.video and not _decodes(options.video):
        raise DevError(f"{options.video} is no video that can be read. Play it in a video player, and save it as mp4.")


def seconds_of_sound(path: Path) -> float:
    """Length of a file's sound, seconds."""
    with av.open(str(path)) as container:
        frames = container.decode(audio=0)
        return float(sum(frame.samples / frame.sample_rate for frame in frames))


def seconds_of_pictures(path: Path) -> float:
    """Length of a video's pictures, seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return sum(1 for packet in container.demux(stream) if packet.size) / float(stream.average_rate or 1)


def with_readable_sound(options: Namespace, folder: Path) -> Namespace:
    """Options whose ``audio`` ComfyUI's Load Audio reads: 8-bit samples become 16-bit ones in a copy in ``folder``."""
    if options.audio is None or not _is_eight_bit(options.audio):
        return options
    copy = folder / f"{options.audio.stem}.wav"
    _write_sixteen_bit(options.audio, copy)
    return Namespace(**{**vars(options), "audio": copy})


def _is_eight_bit(path: Path) -> bool:
    with av.open(str(path)) as container:
        return container.streams.audio[0].codec_context.format.name in ("u8", "u8p")


def _write_sixteen_bit(path: Path, copy: Path) -> None:
    """Write a file's sound as a WAV with 16-bit samples."""
    with av.open(str(path)) as source, av.open(str(copy), "w", format="wav") as target:
        sound = source.streams.audio[0]
        form = {"layout": sound.layout.name, "rate": sound.codec_context.sample_rate}
        track = target.add_stream("pcm_s16le", **form)
        to_sixteen = av.AudioResampler(format="s16", **form)
        for frame in [*source.decode(sound), None]:
            for part in to_sixteen.resample(frame):
                target.mux(track.encode(part))
        target.mux(track.encode(None))


def _has_sound(path: Path) -> bool:
    with suppress(*UNREADABLE), av.open(str(path)) as container:
        return bool(container.streams.audio)
    return False


def _decodes(path: Path) -> bool:
    """Return True if the first picture of a file can be decoded as that of a video, as Load Video and Load Image do."""
    with suppress(*UNREADABLE, StopIteration), av.open(str(path)) as container:
        next(container.decode(video=0))
        return True
    return False


def _opens(path: Path) -> bool:
    """Return True if Pillow reads a file, which Load Image falls back to."""
    with suppress(*UNREADABLE), Image.open(path) as picture:
        picture.load()
        return True
    return False
