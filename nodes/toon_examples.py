"""Example images and clips for the bundled model, so that its templates run without the user's own media."""

import json
from typing import Any

import numpy as np
import torch
from comfy_api.latest import InputImpl, io
from PIL import Image

from ..uniavgen_core.bundled.bundled_files import ASSETS
from .sockets import aliases

PORTRAITS = ASSETS / "portraits"
CLIPS = ASSETS / "clips"


class ToonPortrait(io.ComfyNode):
    """Outputs one of the bundled portraits."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenToonPortrait",
            display_name="UniAVGen Toon Portrait",
            category="UniAVGen/conditioning",
            search_aliases=aliases("example image, sample portrait, avatar, cartoon face, 示例头像"),
            description="A drawn face to try the bundled model on. Use 'Load Image' for your own picture.",
            inputs=[
                io.Combo.Input(
                    "portrait",
                    options=sorted(path.stem for path in PORTRAITS.glob("*.png")),
                    tooltip="Toons 1 to 4 have low voices, 5 to 8 high ones. Let the caption name the same emotion.",
                )
            ],
            outputs=[io.Image.Output(tooltip="The portrait, 128x128.")],
        )

    @classmethod
    def execute(cls, portrait: str) -> io.NodeOutput:
        with Image.open(PORTRAITS / f"{portrait}.png") as picture:
            pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
        return io.NodeOutput(torch.from_numpy(pixels)[None])


class ToonClip(io.ComfyNode):
    """Outputs one of the bundled clips."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenToonClip",
            display_name="UniAVGen Toon Clip",
            category="UniAVGen/conditioning",
            search_aliases=aliases("example video, example audio, sample voice, 示例视频"),
            description="A two-second clip of a talking toon, as an example video, audio or voice. Use 'Load Video' "
            "and 'Load Audio' for your own.",
            inputs=[
                io.Combo.Input(
                    "clip",
                    options=sorted(path.stem for path in CLIPS.glob("*.mp4")),
                    tooltip="One for each of the eight voices: 1 to 4 are low, 5 to 8 high.",
                )
            ],
            outputs=[
                io.Video.Output(tooltip="The clip with its audio."),
                io.Audio.Output(tooltip="The audio alone."),
                io.String.Output(display_name="transcript", tooltip="What the toon says."),
                io.String.Output(display_name="caption", tooltip="How the toon looks, feels and moves."),
            ],
        )

    @classmethod
    def execute(cls, clip: str) -> io.NodeOutput:
        texts = json.loads((CLIPS / "clips.json").read_text(encoding="utf-8"))[clip]
        video = InputImpl.VideoFromFile(str(CLIPS / f"{clip}.mp4"))
        parts = video.get_components()
        sound: Any = parts.audio  # the bundled clips all have one
        samples = int(len(parts.images) / parts.frame_rate * sound["sample_rate"])  # the codec fills its last block
        audio = {**sound, "waveform": sound["waveform"][..., :samples]}
        return io.NodeOutput(video, audio, texts["transcript"], texts["caption"])
