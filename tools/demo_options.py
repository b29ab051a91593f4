"""The demo's command line. Standard library only: it is read before anything is installed."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

IMAGE_KINDS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def parse(arguments: Sequence[str]) -> Namespace:
    """Read the demo's options; those that were not given are None, and the workflow's own values stay.

    Raises:
        SystemExit: After printing help, or what is wrong.
    """
    parser = ArgumentParser(
        prog="dev.py demo",
        description="Runs the quick-start workflow in a real ComfyUI; writes a video with sound and a contact sheet.",
    )
    parser.add_argument("--image", type=_image, help="picture of the face to animate")
    parser.add_argument("--caption", type=_text, help="what the scene shows")
    parser.add_argument("--speech", type=_text, help="what the person says")
    parser.add_argument("--seconds", type=_between(float, 0.1, 60), help="length of the clip, seconds")
    parser.add_argument("--width", type=_size, help="width, pixels, a multiple of 32")
    parser.add_argument("--height", type=_size, help="height, pixels, a multiple of 32")
    parser.add_argument("--steps", type=_between(int, 1, 1000), help="sampling steps")
    parser.add_argument("--seed", type=_between(int, 0, 2**64 - 1), help="seed of the noise")
    parser.add_argument("--output", type=Path, default=Path("output"), help="folder for the results (default: output)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line of stdout")
    parser.add_argument("--cache", metavar="DIR", help="folder for ComfyUI and the Python environment")
    return parser.parse_args(list(arguments))


def _between(kind: type, low: float, high: float) -> Callable[[str], float]:
    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is not a number of the kind {kind.__name__}") from None
        if not low <= value <= high:
            raise ArgumentTypeError(f"{text} is not between {low} and {high}")
        return value

    return convert


def _size(text: str) -> int:
    value = int(_between(int, 32, 4096)(text))
    if value % 32:
        lower = value // 32 * 32
        raise ArgumentTypeError(f"{value} is not a multiple of 32; the nearest are {lower} and {lower + 32}")
    return value


def _text(text: str) -> str:
    if not text.strip():
        raise ArgumentTypeError("the text is empty")
    return text


def _image(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_file():
        raise ArgumentTypeError(f"there is no file {text}")
    if path.suffix.lower() not in IMAGE_KINDS:
        raise ArgumentTypeError(f"{text} is not named as a picture; use one of {', '.join(IMAGE_KINDS)}")
    return path
