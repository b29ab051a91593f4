"""Draws the icon and the banner of the Comfy Registry: ``python -m tools.make_brand``, inside dev.py's environment.

A toon of the bundled model's world says a word, and the bars beside it are the loudness of its own voice.
Dimension key: H picture height, W picture width, N samples.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from toon.clips.appearance import Colour, shade
from toon.clips.clip import ToonClip, film
from toon.clips.speech import make_speech

from .environment import ROOT

FOLDER = ROOT / "docs" / "brand"
SEED, VIDEO_FRAMES = 900_199, 33
NIGHT: Colour = (36, 34, 70)
HALO: Colour = tuple(round(value) for value in shade(NIGHT, 0.3))  # of the disc that the toon's world draws behind it
HALO_RADIUS = 0.43  # share of the toon's picture
RAINBOW = ((255, 150, 96), (236, 96, 156), (96, 150, 255))  # first, middle and last bar
WHITE, SOFT = (255, 255, 255), (200, 200, 228)
ICON_SIZE = 384
BANNER_SIZE = (1680, 720)  # 21:9
TITLE, SUBTITLE = "UniAVGen", "Talking people and their voices, generated together"
SHARPNESS = 2  # Bars and letters are drawn that much larger.


def film_toon(size: int) -> ToonClip:
    """Film the talking toon in front of the brand's dark blue, ``size`` pixels wide and high."""
    return film(make_speech(SEED, VIDEO_FRAMES), SEED, size, background=NIGHT)


def speaking_frame(clip: ToonClip) -> Image.Image:
    """Take the frame in which the mouth is open widest, with a round disc in the place of its disc with corners."""
    frame = clip.frames[int(np.argmax(clip.mouth_open))].astype(float)
    night, halo = np.array(NIGHT), np.array(HALO)
    share = ((frame - night) @ (halo - night)) / ((halo - night) @ (halo - night))
    mixed = night + share[..., None] * (halo - night)
    is_toon = (np.abs(frame - mixed).max(-1) > 3) | (share > 1.05)  # what is no mixture of the two colours
    picture = Image.new("RGB", frame.shape[1::-1], NIGHT)
    with drawing_on(picture) as draw:
        side = SHARPNESS * frame.shape[0]
        edges = (side * (0.5 - HALO_RADIUS), side * (0.5 + HALO_RADIUS))
        draw.ellipse((edges[0], edges[0], edges[1], edges[1]), HALO)
    picture.paste(Image.fromarray(frame.astype(np.uint8)), mask=Image.fromarray(is_toon))
    return picture


@contextmanager
def drawing_on(picture: Image.Image) -> Iterator[ImageDraw.ImageDraw]:
    """Draw on a transparent layer of ``SHARPNESS`` times the size, which is then laid over the picture."""
    layer = Image.new("RGBA", [SHARPNESS * side for side in picture.size])
    yield ImageDraw.Draw(layer)
    small = layer.resize(picture.size, Image.Resampling.LANCZOS)
    picture.paste(small, mask=small)


def loudness(waveform: np.ndarray, count: int) -> np.ndarray:
    """Measure the loudness of ``count`` equal parts of the speech in a waveform (N,), from 0 to 1."""
    heard = np.flatnonzero(np.abs(waveform) > 0.02 * np.abs(waveform).max())
    parts = np.array_split(waveform[heard[0] : heard[-1]], count)
    levels = np.array([np.sqrt(np.mean(part**2)) for part in parts])
    return levels / levels.max()


def draw_bars(
    picture: Image.Image, levels: np.ndarray, box: tuple[int, int, int, int], colours: Sequence[Colour]
) -> None:
    """Draw loudness as round bars.

    Args:
        picture: Picture to draw on.
        levels: Height of each bar as a share of the box, 0 to 1.
        box: Left, top, right and bottom of the area, pixels.
        colours: Colours at even distances from the first to the last bar; the bars between are mixtures.
    """
    left, top, right, bottom = (SHARPNESS * side for side in box)
    pitch, middle = (right - left) / len(levels), (top + bottom) / 2
    width = 0.56 * pitch
    places = np.linspace(0, len(colours) - 1, len(levels))
    mixed = np.stack([np.interp(places, range(len(colours)), channel) for channel in zip(*colours, strict=True)], 1)
    with drawing_on(picture) as draw:
        for number, (level, colour) in enumerate(zip(levels, mixed, strict=True)):
            x = left + (number + 0.22) * pitch
            half = max(width, level * (bottom - top)) / 2
            draw.rounded_rectangle((x, middle - half, x + width, middle + half), width / 2, tuple(colour.astype(int)))


def write_text(picture: Image.Image, text: str, place: tuple[int, int], size: int, colour: tuple[int, ...]) -> None:
    """Write a line with its left end and its baseline at a place, pixels."""
    with drawing_on(picture) as draw:
        at = tuple(SHARPNESS * side for side in place)
        draw.text(at, text, colour, ImageFont.load_default(SHARPNESS * size), anchor="ls")


def make_icon() -> Image.Image:
    """Draw the icon: the toon, and its voice across its shirt."""
    clip = film_toon(ICON_SIZE)
    icon = speaking_frame(clip)
    draw_bars(icon, loudness(clip.waveform, 11), (104, 318, 288, 374), (NIGHT, NIGHT))
    return icon


def make_banner() -> Image.Image:
    """Draw the banner: the toon at the left, its voice and the name beside it."""
    width, height = BANNER_SIZE
    clip = film_toon(704)
    banner = Image.new("RGB", BANNER_SIZE, NIGHT)
    banner.paste(speaking_frame(clip), (40, height - 704))
    write_text(banner, TITLE, (770, 250), 150, WHITE)
    write_text(banner, SUBTITLE, (778, 318), 33, SOFT)
    draw_bars(banner, loudness(clip.waveform, 40), (778, 380, width - 90, 620), RAINBOW)
    return banner


def main() -> None:
    """Write both pictures."""
    FOLDER.mkdir(exist_ok=True)
    for name, picture in (("icon", make_icon()), ("banner", make_banner())):
        path = FOLDER / f"{name}.png"
        picture.save(path, optimize=True)
        print(path.relative_to(ROOT), picture.size)


if __name__ == "__main__":
    main()
