"""Drift of long videos: identity, colours, fine detail and lip-sync from the first to the last part of a film.

Drawn toons with still heads follow a sound of many sentences through *UniAVGen Long Video* in a real ComfyUI, as a user
runs it. Every part of a film is compared with the toon's picture outside of the mouth, and its mouth with its sound.

Dimension key: F video frames, H picture height, W picture width.
"""

import itertools
import sys
import tempfile
import wave
from argparse import ArgumentParser, Namespace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from tools.comfy_server import ComfyServer
from tools.contact_sheet import Clip, read_clip
from tools.environment import current
from tools.template_titles import api_file
from tools.workflow import Workflow, read_workflow, replace_node, set_input, set_value
from toon.clips import ToonClip
from toon.clips.clip import film
from toon.clips.motion import write_caption
from toon.clips.speech import Line, recite
from toon.clips.world import STEADY
from uniavgen_core.evaluation.lip_sync import correlation, mouth_opening, sound_envelope
from uniavgen_core.evaluation.picture_damage import sharpness
from uniavgen_core.media.audio.mel import log_mel
from uniavgen_core.media.audio.sound import resample
from uniavgen_core.shapes import FPS, SAMPLE_RATE

FIRST_SEED = 11_000_000
"""First seed of the toons, beyond those of training and of other measurements."""
SEEDS_APART, STILL = 1000, "still"
SENTENCE_SECONDS = 1.5
"""Time of a sentence of two words, and length of a part of a film."""
MOUTH_REACH = 0.7, 0.6
"""Reach of what is left out around the mouth's middle: to either side, and above and below, in radii of the head."""
FIGURES = ("psnr", "color", "sharpness", "sync", "sync as drawn")


def add_options(parser: ArgumentParser) -> None:
    """Add the options that choose the toons and the length of their films."""
    parser.add_argument("--toons", type=int, default=4, help="number of films")
    parser.add_argument("--seconds", type=float, default=36.0, help="length of a film")
    parser.add_argument("--steps", type=int, default=1, help="sampling steps")
    parser.add_argument("--keep", type=float, default=0.0, help="seconds that segments share; 0 for the model's own")
    parser.add_argument("--sheets", type=Path, help="folder to which a row of pictures of every film is written")


def measure(options: Namespace) -> dict:
    """Make the films, and measure each of their parts."""
    parts = []
    with ComfyServer(current()) as server, tempfile.TemporaryDirectory() as folder:
        for number in range(options.toons):
            toon = talking_toon(FIRST_SEED + number, number % 8, options.seconds)
            workflow = set_value(workflow_of(toon, server, Path(folder)), "steps", options.steps)
            workflow = set_value(workflow, "keep_seconds", options.keep)
            (video,) = [file for file in server.run(workflow, timeout=3600).files() if file["filename"].endswith("mp4")]
            clip = read_clip(server.download(video, Path(folder) / f"{number}.mp4"))
            parts.append(parts_of(clip, toon))
            if options.sheets:
                write_row(clip, options.sheets / f"drift_{number + 1}.png")
            sys.stderr.write(f"film {number + 1}: {len(parts[-1])} parts\n")
    rows = [
        {name: round(float(np.mean([part[name] for part in same])), 3) for name in FIGURES}
        for same in zip(*parts, strict=True)
    ]
    return {"toons": options.toons, "steps": options.steps, "seconds_a_part": SENTENCE_SECONDS, "parts": rows}


def talking_toon(seed: int, voice: int, seconds: float) -> ToonClip:
    """A toon that says two words in every part of a film and holds its head still, drawn and spoken.

    Args:
        seed: Seed of the words; of its looks, if toons of that seed hold still, else the next one that does.
        voice: Its voice.
        seconds: Length of the film.
    """
    random, emotion = np.random.default_rng(seed), 1
    count = int(seconds / SENTENCE_SECONDS)
    words = [" ".join(random.choice(STEADY.vocabulary, 2, replace=False)) for _ in range(count)]
    lines = [Line(text, SENTENCE_SECONDS * number) for number, text in enumerate(words)]
    moment = recite(lines[:1], voice, emotion, FPS, seed)
    looks = next(one for one in itertools.count(seed, SEEDS_APART) if film(moment, one).movement == STILL)
    return film(recite(lines, voice, emotion, round(FPS * SENTENCE_SECONDS * count), seed), looks)


def workflow_of(toon: ToonClip, server: ComfyServer, folder: Path) -> Workflow:
    """The template for long audio, with a toon's picture and sound in the place of its examples."""
    cv2.imwrite(str(folder / "toon.png"), cv2.cvtColor(toon.frames[0], cv2.COLOR_RGB2BGR))
    with wave.open(str(folder / "toon.wav"), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((toon.waveform * (2**15 - 1)).round().astype("<i2").tobytes())
    workflow = read_workflow(api_file("long_audio_driven"))
    image, sound = (server.offer(folder / name) for name in ("toon.png", "toon.wav"))
    workflow = replace_node(workflow, "Image", "LoadImage", {"image": image})
    workflow = replace_node(workflow, "Audio", "LoadAudio", {"audio": sound})
    caption = write_caption(np.random.default_rng(toon.seed), toon.emotion, STILL, toon.hair)
    workflow = set_input(workflow, "Caption", "text", caption)
    return set_input(workflow, "Long video", "script", toon.transcript)


def parts_of(clip: Clip, toon: ToonClip) -> list[dict[str, float]]:
    """Figures of every part of a film.

    Args:
        clip: The film.
        toon: The toon as it is drawn, which says the same at the same times.

    Returns:
        ``psnr`` to the toon's first picture outside of the mouth, dB; ``color``, the largest distance of a mean color
        there, levels of 255; ``sharpness``, fine detail as a share of that picture's; ``sync``, the correlation of the
        mouth's opening with the loudness of the sound, and the drawn toon's own beside it.
    """
    reference, length, rows = toon.frames[0], round(SENTENCE_SECONDS * FPS), []
    outside = ~_mouth(toon)
    made = _curves(clip.frames, (torch.from_numpy(clip.sound), clip.sample_rate), toon)
    drawn = _curves(toon.frames, (torch.from_numpy(toon.waveform), SAMPLE_RATE), toon)
    for start in range(0, len(clip.frames) - length + 1, length):
        here = slice(start, start + length)
        error = (clip.frames[here].astype(np.float32) - reference)[:, outside]
        rows.append(
            {
                "psnr": float(10 * np.log10(255**2 / np.square(error).mean())),
                "color": float(np.abs(error.mean((0, 1))).max()),
                "sharpness": sharpness(clip.frames[here], reference),
                "sync": correlation(*(curve[here] for curve in made)),
                "sync as drawn": correlation(*(curve[here] for curve in drawn)),
            }
        )
    return rows


def _curves(frames: np.ndarray, sound: tuple[Tensor, int], toon: ToonClip) -> tuple[np.ndarray, np.ndarray]:
    """Opening of a toon's mouth in a film, and loudness of its sound during each frame, (F,) each."""
    mel = log_mel(resample(sound[0][None], sound[1], SAMPLE_RATE)[0]).numpy()
    count = min(len(frames), len(toon.frames))
    return mouth_opening(frames[:count], toon.mouth_center[:count], toon.face_radius), sound_envelope(mel, count)


def _mouth(toon: ToonClip) -> np.ndarray:
    """Pixels that are near the mouth in any frame, (H, W) bool."""
    rows, columns = np.ogrid[: toon.frames.shape[1], : toon.frames.shape[2]]
    across, down = (MOUTH_REACH[side] * toon.face_radius for side in (0, 1))
    near = [(abs(columns - x) < across) & (abs(rows - y) < down) for x, y in toon.mouth_center]
    return np.logical_or.reduce(near)


def write_row(clip: Clip, path: Path) -> None:
    """Write the middle picture of every second part of a film, side by side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    length = round(SENTENCE_SECONDS * FPS)
    pictures = clip.frames[length // 2 :: 2 * length]
    cv2.imwrite(str(path), cv2.cvtColor(np.concatenate(pictures, 1), cv2.COLOR_RGB2BGR))


def table(results: dict) -> str:
    """Format the results as a Markdown table, and say how far the last part is from the first."""
    lines = [f"| part | {' | '.join(FIGURES)} |", f"|---|{'---|' * len(FIGURES)}"]
    for number, row in enumerate(results["parts"], 1):
        lines.append(f"| {number} | {' | '.join(f'{row[name]:g}' for name in FIGURES)} |")
    first, last = results["parts"][0], results["parts"][-1]
    changes = ", ".join(f"{name} {last[name] - first[name]:+.3g}" for name in FIGURES)
    return "\n".join([*lines, f"From the first part to the last: {changes} ({results['toons']} films)."])
