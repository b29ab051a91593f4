"""Titles of the templates by their short names.

ComfyUI's template browser shows, and searches, the names of a pack's files. So the graphs in ``workflows`` are called
as their boxes are; the same graphs for the API, in ``workflows/api``, and their pictures have the short names.
"""

from pathlib import Path

from .environment import ROOT

WORKFLOWS = ROOT / "workflows"
TITLES = {
    "quick_start": "Talking Person from a Picture",
    "reference_voice": "Talking Person with a Reference Voice",
    "audio_driven": "Lip-sync a Picture to Audio",
    "dubbing": "Dub a Video",
    "continuation": "Continue a Clip",
    "relip": "New Words and Lips in a Video",
    "long_video": "Long Video from a Script",
    "long_audio_driven": "Long Lip-sync to Audio",
    "long_dubbing": "Dub a Long Video",
    "two_speakers": "Two Speakers",
    "best_take": "Best of Several Takes",
    "retake": "Repair a Clip",
    "build_your_own": "Build Your Own Graph",
    "released": "Official Weights",
    "released_few_steps": "Official Weights in Few Steps",
    "finish": "Finish a Video",
}


def graph_file(name: str) -> Path:
    """Graph of a template for the editor, by its short name."""
    return WORKFLOWS / f"{TITLES[name]}.json"


def api_file(name: str) -> Path:
    """Graph of a template for the API, by its short name."""
    return WORKFLOWS / "api" / f"{name}.json"
