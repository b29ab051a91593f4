"""Levels of generated sound: peaks, clipped samples and loudness of every template of the bundled model.

Each template runs in a real ComfyUI, as a user runs it. Its sound is measured twice: lossless, as in the graph, and
decoded from the AAC of the saved video. The user's own sound that is kept is not measured.

Dimension key: N samples.
"""

import sys
import tempfile
from argparse import ArgumentParser, Namespace
from math import log10
from pathlib import Path

import torch
import torchaudio
from torch import Tensor

from tools.comfy_server import ComfyServer
from tools.environment import current
from tools.template_graphs import TEMPLATES
from tools.template_titles import api_file
from tools.workflow import Workflow, read_workflow, set_value
from uniavgen_core.media.audio.loudness import CEILING_DB
from uniavgen_core.media.audio.sound_file import read_sound

FULL_SCALE = 0.999
"""Samples at or above this level count as clipped."""
CEILING_AFTER_AAC = -1.0
OVERSAMPLING = 4
AAC_FRAME = 1024
"""Samples over which AAC may smear kept sound into the sound after it."""
MAKER, FILM_MAKER = "UniAVGenDecode", "UniAVGenLongVideo"
"""Nodes whose second output is the sound of the clip, and whose first output is a video."""
SAVER = "UniAVGenSaveVideo"
GIVER = "UniAVGenToonClip"
"""Node whose second output is a sound that a template keeps."""


def add_options(parser: ArgumentParser) -> None:
    """Add the options that choose templates, takes and steps."""
    parser.add_argument("--templates", nargs="+", default=list(TEMPLATES), choices=list(TEMPLATES), metavar="NAME")
    parser.add_argument("--takes", type=int, default=1, help="clips of each template, from seed 1")
    parser.add_argument("--steps", type=int, help="sampling steps; the templates' own if left out")


def measure(options: Namespace) -> dict:
    """Run the templates and measure their sound."""
    rows = []
    with ComfyServer(current()) as server, tempfile.TemporaryDirectory() as folder:
        for name in options.templates:
            for seed in range(1, options.takes + 1):
                workflow = read_workflow(api_file(name))
                levels = levels_of(server, prepared(workflow, seed, options.steps), Path(folder))
                rows.append({"template": name, "seed": seed, **levels})
                sys.stderr.write(f"{rows[-1]}\n")
    peaks = [row["aac_peak_db"] for row in rows if row["aac_peak_db"] is not None]
    loudness = [row["loudness"] for row in rows if row["loudness"] is not None]
    return {
        "steps": options.steps or "the templates' own",
        "ceiling_db": CEILING_DB,
        "clips": rows,
        "clipped": sum(row["clipped"] for row in rows),
        "highest_aac_peak_db": max(peaks, default=None),
        "loudness_range": round(max(loudness) - min(loudness), 1) if loudness else None,
    }


def prepared(workflow: Workflow, seed: int, steps: int | None) -> Workflow:
    """Set the seed and steps of a template, and save its sounds losslessly and its video with AAC."""
    nodes = set_value(workflow, "seed", seed)
    nodes = set_value(set_value(nodes, "preset", "custom"), "steps", steps) if steps else nodes
    for number, node in workflow.items():
        if node["class_type"] == SAVER:
            nodes[number]["inputs"]["audio_format"] = "aac"
        sound = [number, 1]
        if node["class_type"] == FILM_MAKER:
            nodes[f"{number}1000"] = {"class_type": "GetVideoComponents", "inputs": {"video": [number, 0]}}
            sound = [f"{number}1000", 1]
        if node["class_type"] in (MAKER, FILM_MAKER, GIVER):
            kind = "given" if node["class_type"] == GIVER else "made"
            inputs = {"audio": sound, "filename_prefix": f"levels/{kind}"}
            nodes[f"{number}0000"] = {"class_type": "SaveAudio", "inputs": inputs}
    return nodes


def levels_of(server: ComfyServer, workflow: Workflow, folder: Path) -> dict[str, float | None]:
    """Run one workflow and measure its sound.

    Returns:
        Of the generated sound, its length in ``seconds``, its peak as ``peak_db`` and its true peak after AAC, four
        times oversampled, as ``aac_peak_db``, dB of full scale, the samples at full scale as ``clipped``, and the
        integrated ``loudness``, LUFS (ITU-R BS.1770). Peaks and loudness are None if all sound is kept.
    """
    files = {"given": [], "made": [], "mp4": []}
    for number, file in enumerate(server.run(workflow, timeout=3600).files()):
        path = server.download(file, folder / f"{number}_{file['filename']}")
        kind = "mp4" if path.suffix == ".mp4" else file["filename"].split("_")[0]
        files.setdefault(kind, []).append(read_sound(path))
    (sound, rate), (decoded, decoded_rate) = files["made"][0], files["mp4"][0]
    made = ~is_given(sound, [given for given, its_rate in files["given"] if its_rate == rate])
    if not made.any():
        return {"seconds": 0.0, "peak_db": None, "clipped": 0, "aac_peak_db": None, "loudness": None}
    generated, start = sound[made], int(made.nonzero()[0])
    start = round((start + AAC_FRAME) * decoded_rate / rate) if start else 0
    wave = torchaudio.functional.resample(decoded[start:], decoded_rate, OVERSAMPLING * decoded_rate)
    return {
        "seconds": round(len(generated) / rate, 3),
        "peak_db": decibels(generated),
        "clipped": int((generated.abs() >= FULL_SCALE).sum()),
        "aac_peak_db": decibels(wave),
        "loudness": round(float(torchaudio.functional.loudness(generated[None], rate)), 1),
    }


def is_given(sound: Tensor, givens: list[Tensor]) -> Tensor:
    """Mask of samples (N,) in the beginning that a sound has in common with a kept one."""
    given = torch.zeros(len(sound), dtype=torch.bool)
    for other in givens:
        length = min(len(sound), len(other))
        differs = (sound[:length] != other[:length]).nonzero()
        given[: int(differs[0]) if len(differs) else length] = True
    return given


def decibels(waveform: Tensor) -> float:
    """Peak of a waveform (N,), dB of full scale."""
    return round(20 * log10(max(float(waveform.abs().max()), 1e-6)), 2)


def table(results: dict) -> str:
    """Format the results as text."""
    lines = [f"{'template':18} {'seed':>4} {'made, s':>8} {'peak, dB':>9} {'clipped':>8} {'AAC, dB':>8} {'LUFS':>6}"]
    for row in results["clips"]:
        values = [row["peak_db"], row["clipped"], row["aac_peak_db"], row["loudness"]]
        peak, clipped, aac, loudness = ("given" if value is None else value for value in values)
        numbers = f"{row['seed']:>4} {row['seconds']:>8} {peak:>9} {clipped:>8} {aac:>8} {loudness:>6}"
        lines.append(f"{row['template']:18} {numbers}")
    lines.append(
        f"Clipped samples: {results['clipped']} (must be 0). Highest peak after AAC: {results['highest_aac_peak_db']} "
        f"dB (must be below {CEILING_AFTER_AAC:g}). Loudness differs by {results['loudness_range']} LU."
    )
    return "\n".join(lines)
