"""Which files the loaders offer: those in ComfyUI's model folders, and the bundled ones."""

from pathlib import Path

import folder_paths

ASSETS = Path(__file__).parents[2] / "uniavgen_core" / "assets"
BUNDLED = "bundled talking toon"
BUNDLED_MODEL = ASSETS / "uniavgen_toon.safetensors"
BUNDLED_VIDEO_CODEC = ASSETS / "toon_video_codec.safetensors"


def choices(folder: str) -> list[str]:
    """The bundled file, then the files of a ComfyUI model folder."""
    return [BUNDLED, *folder_paths.get_filename_list(folder)]


def path_of(folder: str, name: str, bundled: Path) -> str:
    """Path of a choice.

    Raises:
        FileNotFoundError: If the file has gone since the list was made.
    """
    if name == BUNDLED:
        return str(bundled)
    return folder_paths.get_full_path_or_raise(folder, name)
