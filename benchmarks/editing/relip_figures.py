"""New words and lips in held-out toons, against joint generation of the same toons.

The toons get each other's sentences, in their own voice. What is around the region is given clean, or blended into
every step, which is what the template does.

Dimension key: F video frames, H picture height, W picture width.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from toon.evaluation.bundle_report import ToonOptions
from toon.evaluation.cases import Case
from toon.evaluation.generate_cases import Made, Store, generate_all
from toon.evaluation.judges import Judges
from toon.evaluation.measures import measure_cases
from toon.evaluation.relip_cases import RELIP_BLENDED
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL, BUNDLED_VIDEO_CODEC, load_codec
from uniavgen_core.checkpoint.load_weights import load_model
from uniavgen_core.diffusion.sampling_presets import TOON_GUIDANCE, TOON_STEPS
from uniavgen_core.pipeline import SampleConfig
from uniavgen_core.tasks import JOINT, RELIP

TASKS = JOINT.name, RELIP.name, RELIP_BLENDED
SHEET = "relip.png"
_SHOWN, _PICTURES = 5, 8


def relip_figures(count: int, seed: int, work: Path, judges: Judges, tell: Callable[[str], None]) -> dict:
    """Generate and measure joint generation and both ways of new lips.

    Args:
        count: Number of toons.
        seed: Their seed.
        work: Folder for generated clips and the contact sheet.
        judges: Trained judges.
        tell: Called with a line of progress after each batch.

    Returns:
        ``joint``, ``relip`` and ``relip, blended``, the measures of ``dev.py evaluate`` by name, and the number of
        ``clips``.
    """
    parts = load_model(BUNDLED_MODEL, dtype=torch.float32), load_codec(BUNDLED_VIDEO_CODEC)
    rows = {}
    for task in TASKS:
        cases = ToonOptions(work, count=count, others=count, seed=seed, tasks=(task,)).cases()
        config = SampleConfig(TOON_STEPS, guidance=TOON_GUIDANCE)
        store = Store.of(work / "generated", [BUNDLED_MODEL, BUNDLED_VIDEO_CODEC], config, seed)
        made = generate_all(parts, cases, config, store, lambda name, clips: tell(f"{name}: {clips} clips more"))
        rows[task] = measure_cases(task, made[task], cases[task], judges).values
        if task == RELIP_BLENDED:
            Image.fromarray(sheet(made[task], cases[task])).save(work / SHEET)
    return {"clips": count} | {task: dict(found) for task, found in rows.items()}


def sheet(made: Sequence[Made], cases: Sequence[Case]) -> np.ndarray:
    """Pictures of the first toons, two rows each: the user's video, and the same moments with new lips, (H, W, 3)."""
    rows = []
    for clip, case in zip(made[:_SHOWN], cases, strict=False):
        times = np.linspace(1, len(case.frames) - 1, _PICTURES).round().astype(int)
        rows += [np.concatenate(list(frames[times]), 1) for frames in (case.frames, clip.frames)]
    return np.concatenate(rows)
