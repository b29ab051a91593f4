"""English labels of options: the values stay short identifiers in files, and people read the labels.

``web/option_labels.js`` shows them, in the language of the editor, from ``locales``.
"""

from collections.abc import Mapping
from types import MappingProxyType

from ..uniavgen_core.diffusion.sampling_presets import PRESETS
from ..uniavgen_core.tasks import TASKS


def _as_they_are(*values: str) -> dict[str, str]:
    """Labels of values that are plain English words; other languages translate them."""
    return {value: value for value in values}


OPTION_LABELS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "model_name": {"bundled_toon": "bundled talking toon"},
        "text_encoder": {"bundled_toon": "bundled talking toon"},
        "video_vae": {"bundled_toon": "bundled talking toon"},
        "vocoder": {"griffin_lim": "Griffin-Lim (no file)"},
        "task": {name: task.title for name, task in TASKS.items()},
        "emotion": _as_they_are("calm", "happy", "sad", "angry", "surprised", "fearful", "disgusted"),
        "strength": _as_they_are("slight", "normal", "strong"),
        "size": {
            "match_input": "match input",
            "square": "square 1:1",
            "portrait_3_4": "portrait 3:4",
            "landscape_4_3": "landscape 4:3",
            "portrait_9_16": "portrait 9:16",
            "landscape_16_9": "landscape 16:9",
            **_as_they_are("custom"),
        },
        "fit": _as_they_are("crop", "stretch"),
        "length": {
            "match_audio": "match audio",
            "set_seconds": "set in seconds",
            "full_segments": "full segments",
            "fit_text": "fit the text",
        },
        "result": {
            "whole_clip": "whole clip",
            "from_kept_part": "kept part and what follows",
            "best_take": "best take",
            "best_take_resampled": "best take, resampled with final_steps",
        },
        "preset": {
            "auto": "auto: suits the model",
            "custom": "custom: widgets below",
            **{name: f"{name}: {preset.in_words}" for name, preset in PRESETS.items()},
        },
        "view": {"face_crop": "crop around the face", "full_frame": "full frame"},
        "region": _as_they_are("mouth", "face"),
        "surroundings": _as_they_are("auto", "clean", "blended"),
        "mode": _as_they_are("replace", "multiply", "add"),
        "after_share": {"text_cfg": "text CFG (as released)", "none": "no CFG (as in the paper)"},
        "regenerate": {"video_and_audio": "video and audio", **_as_they_are("video", "audio")},
        "action": {**_as_they_are("list"), "delete_old": "delete older than", "delete_all": "delete all"},
        "audio_format": {**_as_they_are("auto"), "flac": "FLAC (lossless)", "aac": "AAC"},
        "video_format": _as_they_are("auto", "lossless"),
        "source": {
            "opencv": "OpenCV detector",
            "mediapipe": "MediaPipe model",
            "face_landmarks": "face landmarks",
            "bounding_boxes": "bounding boxes",
            **_as_they_are("mask"),
        },
        "reach": _as_they_are("short", "full"),
        "shape": _as_they_are("box", "ellipse", "hull"),
        "color": _as_they_are("red", "green", "blue", "yellow", "white"),
        "mask_type": _as_they_are("face", "mouth"),
    }
)
"""By the name of an input: labels by value. Names of files, and ComfyUI's own names, have none."""
