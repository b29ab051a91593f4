"""Example images for the bundled model, so that its templates run without anything of the user's."""

import numpy as np
import torch
from comfy_api.latest import io
from PIL import Image

from .host.files import ASSETS

PORTRAITS = ASSETS / "portraits"


class ToonPortrait(io.ComfyNode):
    """Gives one of the bundled portraits."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenToonPortrait",
            display_name="UniAVGen Toon Portrait",
            category="UniAVGen/conditioning",
            description="A drawn face to try the bundled model on. Use 'Load Image' for your own picture.",
            inputs=[
                io.Combo.Input(
                    "portrait",
                    options=sorted(path.stem for path in PORTRAITS.glob("*.png")),
                    tooltip="Toons 1 to 4 have low voices, 5 to 8 high ones. Let the caption name the same emotion.",
                )
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, portrait: str) -> io.NodeOutput:
        with Image.open(PORTRAITS / f"{portrait}.png") as picture:
            pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
        return io.NodeOutput(torch.from_numpy(pixels)[None])
