"""Encoded clips on disk: one safetensors file each, the folder's settings, and an index.

A file is written under another name and moved, so that what has its final name is whole. Its header says what it was
made of, so that a line of the manifest that changed is encoded again.
Dimension key: T latent frames, H and W latent rows and columns, S mel frames, L caption tokens, D caption width.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...atomic_write import atomic_write
from ...checkpoint.finite_weights import is_finite
from ...shapes import FPS, LATENT_CHANNELS, MEL_BINS, MEL_RATE, latent_frames_of
from .clip_record import ClipRecord, parse_record

SOUND_ALONE = "sound alone"
"""Name that stands for encoders in the settings of clips without pictures."""
SETTINGS, NULL_CAPTION, CLIPS = "encoding.json", "null_caption.safetensors", "clips"
_RECORD = "record"
AGAIN = "Encode the folder again; whole files are kept."
CAPTION_AXES = 2
LARGEST_SIZE = 1 << 24
"""Largest number of frames, rows, columns or tokens that can be meant."""
_ODD_VALUES = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""Errors with which values of a damaged file end; those of JSON and UTF-8 are among them."""


@dataclass(frozen=True)
class EncodedClip:
    """One clip of an encoded folder, as its index tells.

    Attributes:
        name: Its file's name without ending.
        record: What it was made of.
        latents: Shape of its latents, (48, T, H, W); H and W are 0 for sound alone.
        mel_frames: Mel frames S.
        caption_tokens: Caption tokens L.
        cut: Whether the clip went on after its last frame.
    """

    name: str
    record: ClipRecord
    latents: tuple[int, int, int, int]
    mel_frames: int
    caption_tokens: int
    cut: bool = False


def clip_path(folder: Path, name: str) -> Path:
    """Path of an encoded clip."""
    return folder / CLIPS / f"{name}.safetensors"


def write_clip(folder: Path, record: ClipRecord, tensors: Mapping[str, Tensor], cut: bool) -> EncodedClip:
    """Write one clip in one move.

    Args:
        folder: The encoded folder.
        record: What it was made of.
        tensors: ``mel`` (S, 80); but for sound alone ``video`` (48, T, H, W) and ``caption`` (L, D), and where known
            ``face`` and ``mouth`` (T, H, W).
        cut: Whether the clip went on.
    """
    path = clip_path(folder, record.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    about = json.dumps({**asdict(record), "cut": cut}, ensure_ascii=False)
    with atomic_write(path) as partial:
        save_file({name: value.contiguous() for name, value in tensors.items()}, partial, {_RECORD: about})
    return _entry(record, {name: tuple(value.shape) for name, value in tensors.items()}, cut)


def find_clip(folder: Path, record: ClipRecord) -> EncodedClip | None:
    """Look for a whole file that was made of just this record; None if it has to be made."""
    path = clip_path(folder, record.name)
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get(_RECORD, "{}"))
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        cut = about.pop("cut", False)
        return _entry(record, shapes, cut) if about == json.loads(json.dumps(asdict(record))) else None
    except (SafetensorError, OSError, *_ODD_VALUES):  # Missing, or changed by something other than this program.
        return None


def read_clip(folder: Path, name: str) -> dict[str, Tensor]:
    """Tensors of one clip, as they are stored.

    Raises:
        ValueError: If the file is missing or damaged; says what to do.
    """
    path = clip_path(folder, name)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {error}. {AGAIN}") from error


def check_clip(folder: Path, clip: EncodedClip, tensors: Mapping[str, Tensor], caption_dim: int) -> None:
    """Compare the tensors of a clip with what the index tells of it, before anything is made in these sizes.

    Args:
        folder: The encoded folder.
        clip: The clip's entry in the index.
        tensors: What its file holds.
        caption_dim: Width of the captions.

    Raises:
        ValueError: If they differ, or a tensor holds numbers that are not finite; names the file.
    """
    path, fault = clip_path(folder, clip.name), None
    try:
        shapes = {name: tuple(value.shape) for name, value in tensors.items()}
        width = shapes.get("caption", (0, caption_dim))[1]
        if _entry(clip.record, shapes, clip.cut) != clip or width != caption_dim:
            fault = "its tensors have other shapes than the index tells"
    except _ODD_VALUES:
        fault = "its tensors have shapes that no clip has"
    fault = fault or next((f"{name} is not finite" for name, value in tensors.items() if not is_finite(value)), None)
    if fault:
        raise ValueError(f"{path} is damaged: {fault}. {AGAIN}")


def _entry(record: ClipRecord, shapes: Mapping[str, tuple[int, ...]], cut: bool) -> EncodedClip:
    """Entry of a clip in the index; raises one of ``_ODD_VALUES`` where its tensors have shapes that no clip has."""
    mel_frames, bins = shapes["mel"]
    if bins != MEL_BINS or any(shapes[name] != shapes["video"][1:] for name in ("face", "mouth") if name in shapes):
        raise ValueError("the shapes do not go together")
    pictureless = (LATENT_CHANNELS, latent_frames_of(ceil(mel_frames * FPS / MEL_RATE)), 0, 0)
    channels, latents, rows, columns = shapes.get("video", pictureless)
    caption, _ = shapes.get("caption", (0, 0))
    return EncodedClip(record.name, record, (channels, latents, rows, columns), mel_frames, caption, cut)


def write_lines(path: Path, rows: Iterable[Any]) -> None:
    """Write dataclasses as JSON Lines in one move."""
    # A file's name that is not UTF-8 is written as JSON escapes it.
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.writelines(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)


def write_null_caption(folder: Path, features: Tensor) -> None:
    """Keep the features of the empty caption, (L, D), for captions that are dropped in training."""
    with atomic_write(folder / NULL_CAPTION) as partial:
        save_file({"caption": features.contiguous()}, partial)


def read_null_caption(folder: Path) -> Tensor:
    """Features of the empty caption, (L, D) float32.

    Raises:
        ValueError: If the file is missing or damaged.
    """
    try:
        features = load_file(folder / NULL_CAPTION)["caption"].float()
    except (SafetensorError, OSError, KeyError) as error:
        raise ValueError(f"{folder / NULL_CAPTION} cannot be read: {error}. Encode the folder again.") from error
    if features.ndim != CAPTION_AXES or not is_finite(features):
        raise ValueError(f"{folder / NULL_CAPTION} is damaged: it holds no features. Encode the folder again.")
    return features


def claim_folder(folder: Path, settings: Mapping[str, Any]) -> None:
    """Note how a folder's clips are encoded, or check that they are encoded like those that are there.

    Args:
        folder: Made if it is not there.
        settings: Plain values, ready for JSON.

    Raises:
        ValueError: If the folder's clips were encoded otherwise; names the first setting that differs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, settings = folder / SETTINGS, json.loads(json.dumps(settings))
    if path.is_file():
        before = read_settings(folder)
        for name in {**before, **settings}:
            if before.get(name) != settings.get(name):
                raise ValueError(
                    f"{folder} holds clips with {name} {before.get(name)}, not {settings.get(name)}. Encode into "
                    "another folder; training takes several."
                )
        return
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def read_settings(folder: Path) -> dict[str, Any]:
    """Read the encoding settings of a folder.

    Raises:
        ValueError: If the folder is none of encoded clips.
    """
    path = folder / SETTINGS
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(settings, dict) or not isinstance(settings.get("encoders"), str):
            raise ValueError("it names no encoders")
        return settings
    except FileNotFoundError as error:
        raise ValueError(
            f"{folder} has no {SETTINGS}, so it holds no encoded clips. Make them: "
            f"python -m uniavgen_core.training encode SOURCE --out {folder}"
        ) from error
    except (OSError, RecursionError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}). Delete it and encode the folder again.") from error


def read_index(folder: Path) -> list[EncodedClip]:
    """All clips of an encoded folder by name; of several parts' indexes, the newest tells of a clip.

    Raises:
        ValueError: If there is no index, or a line of it is damaged.
    """
    files = sorted(folder.glob("index*.jsonl"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise ValueError(f"{folder} has no index.jsonl. Finish encoding it: the same command again goes on.")
    clips = {clip.name: clip for file in files for clip in _index_lines(file)}
    return [clips[name] for name in sorted(clips)]


def _index_lines(file: Path) -> Iterator[EncodedClip]:
    number = 0
    try:
        with file.open(encoding="utf-8", newline="\n") as lines:
            for line in lines:
                number += 1
                yield _clip_of_line(json.loads(line))
    except (OSError, *_ODD_VALUES) as error:
        raise ValueError(f"{file}, line {max(1, number)} is damaged ({error}). Encode the folder again.") from error


def _clip_of_line(values: dict[str, Any]) -> EncodedClip:
    """A clip from its line of an index; raises one of ``_ODD_VALUES`` where the line is damaged."""
    record = parse_record(values["record"], "its record")
    if values["name"] != record.name:
        raise ValueError("its name is not that of its record")
    channels, latents, rows, columns = map(_size, values["latents"])
    sizes = (channels, latents, rows, columns)
    return EncodedClip(
        record.name, record, sizes, _size(values["mel_frames"]), _size(values["caption_tokens"]), bool(values["cut"])
    )


def _size(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= LARGEST_SIZE:
        raise ValueError(f"{value!r:.40} is no size")
    return value


def stored(value: Tensor, dtype: torch.dtype, what: str) -> Tensor:
    """A tensor in the precision it is kept in.

    Raises:
        FloatingPointError: If a value is not finite, or too large for the precision.
    """
    kept = value.to(dtype)
    if not torch.isfinite(kept).all():
        raise FloatingPointError(f"The {what} holds values that are not finite in {dtype}.")
    return kept
