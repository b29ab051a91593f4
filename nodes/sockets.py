"""Inputs and outputs that several nodes share."""

from collections.abc import Iterable
from typing import Any

from comfy_api.latest import io

from ..uniavgen_core.shapes import FPS, SIZE_MULTIPLE
from .host.media.clip_size import CROP, CUSTOM_SIZE, LARGEST, MATCH_INPUT, PROPORTIONS, SMALLEST, STRETCH, ClipSize
from .host.media.source_media import SourceMediaType

SHORTEST, LONGEST = 5 / FPS, 120.0
SIZES = (MATCH_INPUT, *PROPORTIONS, CUSTOM_SIZE)


def aliases(words: str) -> list[str]:
    """Words under which people look for a node, from one line with commas."""
    return words.split(", ")


class _Low(float):
    """A lower bound below which NaN lies too: ComfyUI compares ``value < bound``, which is false for a plain bound."""

    def __gt__(self, value: float) -> bool:
        return not value >= float(self)


def float_input(name: str, *, min: float, max: float, **options: Any) -> io.Input:  # noqa: A002 - ComfyUI's names
    """Widget for a number between two bounds, NaN excluded; ``options`` are those of ``io.Float.Input``."""
    return io.Float.Input(name, min=_Low(min), max=max, **options)


def seconds_input(name: str, default: float, tooltip: str) -> io.Input:
    """Widget for the length of a clip or of a part of it."""
    return float_input(name, default=default, min=SHORTEST, max=LONGEST, step=0.0625, round=0.0001, tooltip=tooltip)


def trained_seconds_input(name: str, tooltip: str) -> io.Input:
    """Widget for the length of a clip or of a part of it; 0 for what the model was trained at."""
    tooltip = f"{tooltip} In seconds; 0 uses the length the model was trained at."
    return float_input(name, default=0.0, min=0.0, max=LONGEST, step=0.0625, round=0.0001, tooltip=tooltip)


def share_input(name: str, default: float, tooltip: str) -> io.Input:
    """Advanced widget for a share or a noise level, 0 to 1."""
    return float_input(name, default=default, min=0.0, max=1.0, step=0.01, advanced=True, tooltip=tooltip)


def text_input(name: str, tooltip: str) -> io.Input:
    """Widget for what is said in a sound; may stay empty."""
    return io.String.Input(name, default="", multiline=True, optional=True, tooltip=tooltip)


def filename_prefix_input(default: str, like: str) -> io.Input:
    """Widget for the folder and the start of a file name; ``like`` is ComfyUI's node that fills in the same words."""
    return io.String.Input(
        "filename_prefix",
        default=default,
        tooltip="Folder and start of the file name, in ComfyUI's output folder; may contain %date:yyyy-MM-dd% and the "
        f"like, as in '{like}'.",
    )


def seed_input() -> io.Input:
    """Widget for the seed of the noise."""
    return io.Int.Input(
        "seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=True, tooltip="Seed of the noise."
    )


def model_input() -> io.Input:
    """Socket for the model."""
    return io.Model.Input("model", tooltip="From 'UniAVGen Load Model'; LoRAs and other patches may come in between.")


def conditioning_inputs(positive: str = "Encoded caption with its transcript.") -> list[io.Input]:
    """Sockets for both conditionings; ``positive`` is the tooltip of the first."""
    negative = "Encoded negative caption; usually an empty text."
    return [io.Conditioning.Input("positive", tooltip=positive), io.Conditioning.Input("negative", tooltip=negative)]


def latent_input(tooltip: str = "The clip, from 'UniAVGen Task' or 'UniAVGen Empty Latent'.") -> io.Input:
    """Socket for a joint latent."""
    return io.Latent.Input("latent", tooltip=tooltip)


def model_output() -> io.Output:
    """Output for a patched model."""
    return io.Model.Output(tooltip="The patched model, for the sampler.")


def latent_output(tooltip: str = "The clip's video and audio latents, in one.") -> io.Output:
    """Output for a joint latent."""
    return io.Latent.Output(display_name="latent", tooltip=tooltip)


def conditioning_outputs() -> list[io.Output]:
    """Outputs for both conditionings."""
    return [
        io.Conditioning.Output(display_name=name, tooltip=f"For the {name} input of the sampler.")
        for name in ("positive", "negative")
    ]


def prepared_outputs() -> list[io.Output]:
    """Outputs of a node that prepares a clip from the user's own media."""
    source_media = SourceMediaType.Output(
        display_name="source_media",
        tooltip="Your own frames and audio, for 'UniAVGen Decode', which restores them untouched, and 'UniAVGen "
        "Save Video', which preserves them in the file.",
    )
    return [*conditioning_outputs(), latent_output(), source_media]


def check_size(width: int, height: int, seconds: float) -> None:
    """Refuse a size that a clip cannot have.

    Raises:
        ValueError: If a side or the length is out of range, or a side is no multiple of 32.
    """
    for name, side in (("width", width), ("height", height)):
        if not SMALLEST <= side <= LARGEST:
            raise ValueError(f"{name} is {side}; it must be between {SMALLEST} and {LARGEST} pixels.")
        if side % SIZE_MULTIPLE:
            nearest = round(side / SIZE_MULTIPLE) * SIZE_MULTIPLE
            raise ValueError(f"{name} is {side}; it must be a multiple of {SIZE_MULTIPLE}, such as {nearest}.")
    if not SHORTEST <= seconds <= LONGEST:
        raise ValueError(f"seconds is {seconds}; it must be between {SHORTEST:.2f} and {LONGEST:.0f}.")


def size_input() -> io.Input:
    """Input for the size of a clip; each kind of size has its own widgets."""
    side: dict[str, Any] = {"default": 128, "min": SMALLEST, "max": LARGEST, "step": SIZE_MULTIPLE}
    fit = io.Combo.Input(
        "fit",
        options=[CROP, STRETCH],
        default=CROP,
        advanced=True,
        tooltip="If the aspect ratios of picture and clip differ: crop the picture, or stretch it.",
    )
    short_side = io.Int.Input(
        "short_side",
        default=0,
        min=0,
        max=LARGEST,
        step=SIZE_MULTIPLE,
        advanced=True,
        tooltip="Shorter side in pixels, a multiple of 32. 0 for the size the model was trained at: 736 for the "
        "official weights, 128 for the bundled model.",
    )
    width, height = (io.Int.Input(name, **side, tooltip="In pixels, a multiple of 32.") for name in ("width", "height"))
    options = [
        io.DynamicCombo.Option(MATCH_INPUT, [short_side]),
        *(io.DynamicCombo.Option(name, [short_side, fit]) for name in PROPORTIONS),
        io.DynamicCombo.Option(CUSTOM_SIZE, [width, height, fit]),
    ]
    return io.DynamicCombo.Input(
        "size",
        options=options,
        tooltip="Size of the clip. 'match input' keeps the whole image or video, as the release does; the bundled "
        "model takes the nearer of 128x128 and 256x128, to which an image is cropped.",
    )


def unknown_option(group: dict | None, name: str, options: Iterable[str]) -> str | None:
    """Error about an input whose options have widgets of their own.

    Args:
        group: The input's value in ``validate_inputs``: None if its option is unknown, because ComfyUI leaves it out.
        name: Name of the input.
        options: Options that there are.
    """
    return None if group else f"The value of '{name}' is unknown. Choose one of: {', '.join(options)}."


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
    width, height = chosen.pixels if chosen.kind == CUSTOM_SIZE else (SMALLEST, SMALLEST)
    check_size(width, height, seconds)
    return chosen
