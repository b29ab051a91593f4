"""Appearance of a toon: colours, hair and proportions. The length of the hair and the jaw depend on the voice."""

from dataclasses import dataclass

import numpy as np

from .speech import FEMALE_VOICES

Colour = tuple[float, float, float]

HAIR_COLOURS: dict[str, Colour] = {
    "black": (46, 42, 52), "brown": (112, 68, 42), "blond": (236, 196, 92), "red": (206, 88, 44),
    "purple": (134, 84, 176), "blue": (72, 124, 208),
}  # fmt: skip
SKIN_COLOURS: tuple[Colour, ...] = (
    (255, 222, 196), (248, 204, 166), (230, 176, 132), (198, 142, 100), (156, 106, 74), (252, 214, 128),
    (188, 220, 170),
)  # fmt: skip
BACKGROUNDS: tuple[Colour, ...] = (
    (142, 198, 238), (172, 218, 176), (246, 214, 148), (222, 182, 232), (240, 232, 220), (164, 174, 214),
    (246, 184, 168),
)  # fmt: skip
SHIRT_COLOURS: tuple[Colour, ...] = (
    (226, 88, 88), (76, 150, 210), (88, 176, 124), (246, 178, 70), (150, 106, 190), (70, 84, 116), (238, 238, 232),
)  # fmt: skip
IRIS_COLOURS: tuple[Colour, ...] = ((74, 54, 44), (58, 98, 156), (66, 118, 84))
LONG_HAIR = ("long", "bob", "pigtails", "bun")
SHORT_HAIR = ("short", "spiky", "parted", "curly")


@dataclass(frozen=True)
class Appearance:
    """Appearance of a toon at rest. Lengths are shares of the picture's side, colours RGB in [0, 255].

    Attributes:
        hair_name: Key of ``HAIR_COLOURS``.
        hair_style: One of ``LONG_HAIR`` or ``SHORT_HAIR``.
        center: Middle of the head, (x, y).
        radius: Half the width of the head.
        tall: Height of the head over its width.
        jaw: Narrowing of the head towards the chin.
        eyes: Size of the eyes; 1 is average.
    """

    hair_name: str
    hair_style: str
    hair: Colour
    skin: Colour
    background: Colour
    shirt: Colour
    iris: Colour
    center: tuple[float, float]
    radius: float
    tall: float
    jaw: float
    eyes: float
    lashes: bool
    glasses: bool


def shade(colour: Colour, amount: float) -> Colour:
    """Make a colour darker (amount below 0) or lighter (above 0); -1 is black, 1 is white."""
    target = 255.0 if amount > 0 else 0.0
    return tuple(value + (target - value) * abs(amount) for value in colour)


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return colours[rng.integers(len(colours))]


def draw_appearance(rng: np.random.Generator, voice: int) -> Appearance:
    """Sample a toon that fits one of ``VOICES``: the female voices have long hair, lashes and a narrower jaw."""
    female = voice in FEMALE_VOICES
    hair_name = list(HAIR_COLOURS)[rng.integers(len(HAIR_COLOURS))]
    styles = LONG_HAIR if female else SHORT_HAIR
    return Appearance(
        hair_name=hair_name,
        hair_style=styles[rng.integers(len(styles))],
        hair=shade(HAIR_COLOURS[hair_name], rng.uniform(-0.08, 0.08)),
        skin=shade(_pick(rng, SKIN_COLOURS), rng.uniform(-0.05, 0.05)),
        background=shade(_pick(rng, BACKGROUNDS), rng.uniform(-0.1, 0.2)),
        shirt=_pick(rng, SHIRT_COLOURS),
        iris=_pick(rng, IRIS_COLOURS),
        center=(0.5 + rng.uniform(-0.04, 0.04), 0.475 + rng.uniform(-0.015, 0.015)),
        radius=rng.uniform(0.255, 0.29),
        tall=rng.uniform(1.1, 1.2),
        jaw=rng.uniform(0.16, 0.24) if female else rng.uniform(0.04, 0.14),
        eyes=rng.uniform(1.0, 1.2) * (1.05 if female else 0.95),
        lashes=female,
        glasses=bool(rng.random() < 0.15),
    )
