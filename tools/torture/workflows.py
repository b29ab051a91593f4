"""Short runs of templates, and the hash of what they make."""

import hashlib
import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..comfy_client import ComfyClient
from ..console import DevError
from ..contact_sheet import read_clip
from ..template_titles import api_file
from ..workflow import Workflow, set_value


def template(name: str, **values: Any) -> Workflow:
    """A template with other values of its widgets."""
    workflow = json.loads(api_file(name).read_text(encoding="utf-8"))
    for widget, value in values.items():
        workflow = set_value(workflow, widget, value)
    return workflow


SMALL = {"preset": "custom", "steps": 2, "size.short_side": 64}
"""Values that make a run short."""


def small(name: str, **values: Any) -> Workflow:
    """A template with few steps and small pictures, as far as it has such widgets, and with other values."""
    workflow = template(name)
    for widget, value in SMALL.items():
        with suppress(DevError):
            workflow = set_value(workflow, widget, value)
    for widget, value in values.items():
        workflow = set_value(workflow, widget, value)
    return workflow


def digest_of(server: ComfyClient, workflow: Workflow) -> str:
    """Hash of the pictures and the sound that a workflow makes."""
    (video,) = [file for file in server.run(workflow).files() if file["filename"].endswith(".mp4")]
    with tempfile.TemporaryDirectory() as folder:
        clip = read_clip(server.download(video, Path(folder) / "clip.mp4"))
    return hashlib.sha256(clip.frames.tobytes() + clip.sound.tobytes()).hexdigest()
