"""The input for the size of a clip, shared by the nodes that create clips."""

from typing import Any

from comfy_api.latest import io

from ..uniavgen_core.shapes import SIZE_MULTIPLE
from .empty_latent import LARGEST, SHORTEST, SMALLEST, check_size
from .host.media.clip_size import AS_THE_PICTURE, CROP, FREE, PROPORTIONS, STRETCH, ClipSize


def size_input() -> io.Input:
    """Input for the size of a clip; each kind of size has its own widgets."""
    side: dict[str, Any] = {"default": 128, "min": SMALLEST, "max": LARGEST, "step": SIZE_MULTIPLE}
    fit = io.Combo.Input(
        "fit",
        options=[CROP, STRETCH],
        default=CROP,
        advanced=True,
        tooltip="What to do where a picture has other proportions than the clip: crop its sides, or stretch it.",
    )
    short_side = io.Int.Input(
        "short_side",
        default=0,
        min=0,
        max=LARGEST,
        step=SIZE_MULTIPLE,
        advanced=True,
        tooltip="Shorter side in pixels, a multiple of 32. 0 is what the model was trained at: 736 for the released "
        "model, 128 for the bundled one.",
    )
    width, height = (io.Int.Input(name, **side, tooltip="Pixels, a multiple of 32.") for name in ("width", "height"))
    options = [
        io.DynamicCombo.Option(AS_THE_PICTURE, [short_side]),
        *(io.DynamicCombo.Option(name, [short_side, fit]) for name in PROPORTIONS),
        io.DynamicCombo.Option(FREE, [width, height, fit]),
    ]
    return io.DynamicCombo.Input(
        "size",
        options=options,
        tooltip="Size of the clip. 'as the picture' keeps the whole image or video, as the release does; the bundled "
        "model takes the nearer of 128x128 and 256x128, to which an image is cropped.",
    )


def chosen_size(size: dict, seconds: float = SHORTEST) -> ClipSize:
    """Read the value of ``size_input``.

    Args:
        size: Kind of size and the values of its widgets.
        seconds: Length of the clip.

    Raises:
        ValueError: If the size or the length is invalid.
    """
    values = {"kind" if name == "size" else name: value for name, value in size.items()}
    chosen = ClipSize(**values)
    width, height = chosen.pixels if chosen.kind == FREE else (SMALLEST, SMALLEST)
    check_size(width, height, seconds)
    return chosen
