"""The empty joint latent a sampler starts from."""

import comfy.model_management
from comfy_api.latest import io

from ..uniavgen_core.shapes import SIZE_MULTIPLE, AVShape
from .host.media.clip_size import LARGEST, SMALLEST
from .host.notices import error_of
from .host.sampling.joint_latent import empty_latent
from .sockets import aliases, check_size, latent_output, seconds_input


class EmptyLatent(io.ComfyNode):
    """Makes a video latent and an audio latent of the same length."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenEmptyLatent",
            display_name="UniAVGen Empty Latent",
            category="UniAVGen/latent",
            search_aliases=aliases(
                "empty video latent, empty audio latent, audio video latent, latent size, 空 Latent"
            ),
            description="Makes an empty clip: video at 16 fps, and audio of the same length. The official weights "
            "were trained at 5.0625 seconds and a short side of 736, the bundled model at 2.0625 seconds "
            "and 128x128.",
            inputs=[
                io.Int.Input("width", default=128, min=SMALLEST, max=LARGEST, step=SIZE_MULTIPLE, tooltip="In pixels."),
                io.Int.Input(
                    "height", default=128, min=SMALLEST, max=LARGEST, step=SIZE_MULTIPLE, tooltip="In pixels."
                ),
                seconds_input("seconds", 2.0625, "Length of the clip; rounded to 4n + 1 frames at 16 fps."),
                io.Int.Input(
                    "batch_size", default=1, min=1, max=64, tooltip="Number of clips generated at once.", advanced=True
                ),
            ],
            outputs=[latent_output()],
        )

    @classmethod
    def validate_inputs(
        cls, width: int | None = None, height: int | None = None, seconds: float | None = None
    ) -> bool | str:
        if width is None or height is None or seconds is None:  # linked, and known only when the node runs
            return True
        return error_of(check_size, width, height, seconds) or True

    @classmethod
    def execute(cls, width: int, height: int, seconds: float, batch_size: int = 1) -> io.NodeOutput:
        check_size(width, height, seconds)  # again, because linked values are known only now
        shape = AVShape.from_seconds(width, height, seconds)
        return io.NodeOutput(empty_latent(shape, batch_size, comfy.model_management.intermediate_device()))
