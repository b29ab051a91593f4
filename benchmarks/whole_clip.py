"""Time of a whole clip, from the start of the server to the saved file, as one table of its parts.

The bundled model is measured on this machine: quick_start's clip, cold and warm, by two clocks. The released model, 81
frames, is computed for a card from its operators and the card's speeds; what stays on the CPU there is measured at that
size.
"""

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from uniavgen_core.config import RELEASED
from uniavgen_core.shapes import AVShape

from . import clip_parts as parts
from .encoder_roofline import TINY, Card, coding_seconds
from .flops import VIDEO_FRAMES
from .memory import CODEC
from .peers import comfy_ops
from .roofline import PASSES, STEPS, count, joint_model, joint_passes, step_of, without_memory

ROWS = {
    parts.START: "ComfyUI",
    parts.PACK_IMPORT: "this pack",
    parts.LOADING: "both",
    parts.TEXTS: "both",
    parts.ENCODING: "both",
    parts.DENOISING: "PyTorch",
    parts.PICTURE: "PyTorch",
    parts.SOUND: "this pack",
    parts.CHECKS: "this pack",
    parts.MUX: "x264, ComfyUI's PyAV",
    parts.PREVIEW: "this pack",
}
"""Parts in their order, and whose code their time is spent in."""
FILES = {"network": 14.2e9, "text encoder": 11.4e9, "VAE": CODEC, "vocoder": 0.46e9}
"""Bytes of the released files in bfloat16; the vocoder's in float32."""
FEW_PASSES = 4
COUNTED = (parts.TEXTS, parts.ENCODING, parts.PICTURE, parts.SOUND)


def add_options(parser: ArgumentParser) -> None:
    """Add the number of clips, the released size, and the speeds of the card: an H200's, five sixths of nominal."""
    parser.add_argument("--clips", type=int, default=4, help="clips of the bundled model; the first is cold")
    parser.add_argument("--width", type=int, default=1280, help="width of the released model's clip, pixels")
    parser.add_argument("--height", type=int, default=736, help="its height")
    parser.add_argument("--teraflop", type=float, default=790, help="of a large bfloat16 product in a second")
    parser.add_argument("--float32-teraflop", type=float, default=55, help="of a float32 product without TF32")
    parser.add_argument("--terabyte", type=float, default=4, help="read and written in a second")
    parser.add_argument("--disk", type=float, default=3, help="gigabytes that are read from the disk in a second")
    parser.add_argument("--no-server", action="store_true", help="leave out the start of a server")


def measure(options: Namespace) -> dict:
    """Measure the bundled model's clip, and compute the released one's."""
    clock = parts.Clock()
    if not options.no_server:
        parts.start_server(clock)
    memory = parts.measure_bundled(clock, options.clips)
    card = Card(options.teraflop, options.float32_teraflop, options.terabyte)
    shape = AVShape(options.width, options.height, VIDEO_FRAMES)
    return {
        "settings": asdict(card) | {"disk": options.disk, "size": shape.label, "clips": options.clips},
        "bundled": {name: _rounded(clock, name) for name in ROWS if name in clock.seconds},
        "released": {name: round(value, 4) for name, value in released(card, shape, options.disk).items()},
        "pictures": memory,
    }


def _rounded(clock: parts.Clock, name: str) -> dict[str, float]:
    """Seconds of the first run, and the least of the later ones by each clock."""
    (cold, cold_wall), *later = clock.seconds[name]
    found = {"cold": cold, "cold_wall": cold_wall}
    if later:
        found |= {"warm": min(cpu for cpu, _ in later), "warm_wall": min(wall for _, wall in later)}
    return {key: round(value, 3) for key, value in found.items()}


def released(card: Card, shape: AVShape, disk: float) -> dict[str, float]:
    """Seconds of the parts of a released clip by name: computed, but for what stays on the CPU, which is measured."""
    comfy_ops("cpu")
    found = {parts.LOADING: sum(FILES.values()) / 1e9 / disk} | coding_seconds(card, shape)
    with without_memory(RELEASED, shape):
        passes = joint_passes(joint_model(RELEASED), shape)
        counted = [sum(count(passes[name], card.teraflop, card.terabyte).seconds.values()) for name in PASSES]
    found[parts.DENOISING] = STEPS * step_of(*counted)
    found[f"{FEW_PASSES} passes"] = FEW_PASSES * counted[0]
    return found | parts.measure_large(shape)


def table(results: dict) -> str:
    """Results as text, a row per part."""
    settings, bundled, computed = results["settings"], results["bundled"], results["released"]
    head = ("cold", "wall", "warm", "wall", "released")
    lines = [
        "Seconds. Bundled model: processor and wall clock on this machine, the first clip and the least of the others.",
        f"Released model, {settings['size']}: computed for {settings['teraflop']:g} teraflop (float32: "
        f"{settings['float32_teraflop']:g}), {settings['terabyte']:g} terabyte and a disk of {settings['disk']:g} "
        "gigabyte a second; * measured on this machine's CPU.",
        f"{'part':22}{'whose time':>22}" + "".join(f"{name:>10}" for name in head),
    ]
    for name, whose in ROWS.items():
        row = bundled.get(name, {})
        values = [row.get(key) for key in ("cold", "cold_wall", "warm", "warm_wall")] + [computed.get(name)]
        mark = "*" if name in (parts.MUX, parts.PREVIEW) else " "
        lines.append(f"{name:22}{whose:>22}" + "".join(map(_number, values)) + mark)
    warm = {name: row for name, row in bundled.items() if name not in (*parts.ALONE, parts.LOADING)}
    sums = [sum(row.get(key, 0) for row in warm.values()) for key in ("cold", "cold_wall", "warm", "warm_wall")]
    clip = sum(computed[name] for name in (*COUNTED, parts.DENOISING, parts.MUX))
    fast = clip - computed[parts.DENOISING] - computed[parts.PICTURE]
    lines.append(f"{'a clip, files loaded':44}" + "".join(map(_number, (*sums, clip))))
    few, tiny = f"{FEW_PASSES} passes", TINY
    lines += [f"{name:84}{_number(computed[name])}" for name in (few, tiny)]
    lines.append(f"{f'a clip with {few} and the tiny VAE':84}{_number(fast + computed[few] + computed[tiny])}")
    held, frames = results["pictures"]["peak"], results["pictures"]["frames"]
    lines.append(f"Decoding holds {held / frames:.2f} times the bytes of the pictures in float32 at its peak.")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return f"{'':10}" if value is None else f"{value:10.3f}"
