"""Clips of a folder: listing, manifest, and decoding of video and audio.

Dimension key: F video frames, H picture height, W picture width, N samples.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..media.audio.sound_file import read_sound

ENDINGS = (".mp4", ".webm", ".mkv", ".mov", ".avi", ".m4v")
MANIFEST = "manifest.jsonl"
LONGEST_SECONDS = 60.0


@dataclass(frozen=True)
class Entry:
    """One clip with its fields in the manifest; the reference voice may be an audio or a video file."""

    path: Path
    caption: str = ""
    transcript: str = ""
    speaker: str = ""
    reference_image: Path | None = None
    reference_voice: Path | None = None


@dataclass(frozen=True)
class ClipFile:
    """A decoded clip.

    Attributes:
        frames: RGB, (F, H, W, 3) uint8.
        fps: Frames per second.
        waveform: Mono, (N,) float32; empty without an audio track.
        sample_rate: Hz; 0 without an audio track.
    """

    frames: np.ndarray
    fps: float
    waveform: Tensor
    sample_rate: int


def list_clips(folder: Path) -> tuple[list[Entry], dict[str, str]]:
    """Find the clips of a folder.

    Args:
        folder: Folder of videos with an optional ``manifest.jsonl``: one JSON object a line with ``path`` and any of
            ``caption``, ``transcript``, ``speaker``, ``reference_image`` and ``reference_voice``; paths are relative to
            the folder. With a manifest, only its clips are used.

    Returns:
        The clips in order, and the reason for each skipped line.

    Raises:
        ValueError: If the folder does not exist, or has no clip.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder.")
    skipped: dict[str, str] = {}
    if (folder / MANIFEST).is_file():
        entries = _read_manifest(folder, skipped)
    else:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
        entries = [Entry(path) for path in files]
    if not entries and not skipped:
        raise ValueError(f"{folder} has no clips: no {MANIFEST}, and no file that ends in {', '.join(ENDINGS)}.")
    return entries, skipped


def _read_manifest(folder: Path, skipped: dict[str, str]) -> list[Entry]:
    """Entries of a folder's manifest; the reasons for unusable lines are added to ``skipped``."""
    entries = []
    lines = (folder / MANIFEST).read_text(encoding="utf-8-sig", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                entries.append(_entry(folder, json.loads(line)))
            except (ValueError, TypeError) as error:
                skipped[f"{MANIFEST} line {number}"] = str(error)
    return entries


def _entry(folder: Path, fields: dict) -> Entry:
    """Entry of one line of a manifest."""
    if not isinstance(fields, dict) or not isinstance(fields.get("path"), str):
        raise ValueError('It is not a JSON object with a text "path".')
    texts: dict[str, Any] = {name: fields.get(name) or "" for name in ("caption", "transcript", "speaker")}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise ValueError(f'"{name}" is {value!r}; it must be text.')
    references: dict[str, Any] = {
        name: folder / fields[name] if fields.get(name) else None for name in ("reference_image", "reference_voice")
    }
    return Entry(folder / fields["path"], **texts, **references)


def read_clip(path: Path) -> ClipFile:
    """Decode a video with its audio, at most the first minute.

    Raises:
        ValueError: If the file cannot be read as a video, or its frames cannot be decoded.
    """
    import av
    from av.error import FFmpegError

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError("It has no video frames.")
            video = container.streams.video[0]
            fps = float(video.average_rate or 0)
            if fps <= 0:
                raise ValueError("Its frame rate is unknown.")
            frames, first = [], 0.0
            for frame in container.decode(video):
                first = frame.time or 0.0 if not frames else first
                frames.append(frame.to_ndarray(format="rgb24"))
                if len(frames) >= LONGEST_SECONDS * fps:
                    break
    except (FFmpegError, OSError) as error:
        raise ValueError(f"It cannot be read as a video: {error}") from error
    if not frames:
        raise ValueError("It has no frames that can be decoded.")
    if any(frame.shape != frames[0].shape for frame in frames):
        raise ValueError("Its frames change in size.")
    return ClipFile(np.stack(frames), fps, *read_sound(path, first, LONGEST_SECONDS))
