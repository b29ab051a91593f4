"""Time of a training step on a slow disk: batches read between steps, against batches read ahead by workers.

A slow disk is simulated by a pause for each clip that is read. Clips and network are small and random; both runs take
the same steps, and their losses are compared.
"""

import json
import tempfile
import time
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from uniavgen_core.config import TOON, BranchConfig, TextConfig
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import JointModel
from uniavgen_core.shapes import mel_frames_of, video_frames_of
from uniavgen_core.training.data.clip_record import ClipRecord
from uniavgen_core.training.data.clip_store import claim_folder, write_clip, write_lines, write_null_caption
from uniavgen_core.training.data.encoded_clips import EncodedClips
from uniavgen_core.training.data.example_draws import SourceConfig
from uniavgen_core.training.monitor import LOG
from uniavgen_core.training.paper_stages import STAGES
from uniavgen_core.training.task_sampling import task_objective
from uniavgen_core.training.trainer import Trainer
from uniavgen_core.training.trainer_config import TrainerConfig

SMALL = replace(TOON, video=BranchConfig(48, 96, 2), audio=BranchConfig(32, 64, 2), num_layers=4, num_interactions=2)
CLIPS, LATENTS, SIDE, BATCH = 24, 9, 8, 4
WARM_STEPS = 3


def add_options(parser: ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.add_argument("--steps", type=int, default=15, help="steps of each run; the first three are not counted")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds that a clip takes to be read")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="numbers of workers, one run for each")


class SlowClips(EncodedClips):
    """Encoded clips on a disk that takes its time."""

    def __init__(self, folder: Path, text: TextConfig, pause: float) -> None:
        super().__init__([folder], text, SourceConfig(cached_clips=BATCH))
        self.pause = pause

    def _read_clip(self, clip: int) -> dict[str, Tensor]:
        time.sleep(self.pause)
        return super()._read_clip(clip)


def measure(options: Namespace) -> dict:
    """Train once for each number of workers."""
    with tempfile.TemporaryDirectory() as place:
        write_clips(Path(place))
        runs = {workers: train(Path(place), workers, options) for workers in options.workers}
    losses = [run.pop("losses") for run in runs.values()]
    return {
        "pause": options.pause,
        "batch": BATCH,
        "steps": options.steps,
        "runs": {str(workers): run for workers, run in runs.items()},
        "same_losses": all(column == losses[0] for column in losses),
    }


def write_clips(folder: Path) -> None:
    """Write random encoded clips."""
    claim_folder(folder, {"encoders": "bundled", "faces": "find"})
    write_null_caption(folder, torch.zeros(1, SMALL.text.caption_dim))
    generator, entries = torch.Generator().manual_seed(0), []
    for number in range(CLIPS):
        tensors = {
            "video": torch.randn(48, LATENTS, SIDE, SIDE, generator=generator),
            "mel": torch.randn(mel_frames_of(video_frames_of(LATENTS)), 80, generator=generator),
            "caption": torch.randn(4, SMALL.text.caption_dim, generator=generator),
            "face": torch.rand(LATENTS, SIDE, SIDE, generator=generator),
        }
        record = ClipRecord(f"{number}.mp4", "A clip.", "Words of a clip.", "somebody")
        entries.append(write_clip(folder, record, {name: x.half() for name, x in tensors.items()}, cut=False))
    write_lines(folder / "index.jsonl", entries)


def train(folder: Path, workers: int, options: Namespace) -> dict:
    """Take the steps with some workers; returns the median seconds of a step and the losses."""
    torch.manual_seed(0)
    model = JointModel(SMALL)
    initialize(model)
    config = TrainerConfig(
        folder, f"workers-{workers}", options.steps, BATCH, log_every=1, checkpoint_every=options.steps, bar=False,
        workers=workers,
    )  # fmt: skip
    objective = task_objective(SlowClips(folder, SMALL.text, options.pause), STAGES["joint"].tasks, 0)
    Trainer(model, [torch.optim.AdamW(model.parameters(), 1e-4)], objective, config).run()
    lines = [json.loads(line) for line in (config.home / LOG).read_text(encoding="utf-8").splitlines()]
    ends = [line["seconds"] for line in lines]
    seconds = [after - before for before, after in zip(ends[WARM_STEPS - 1 :], ends[WARM_STEPS:], strict=False)]
    return {"step_seconds": round(median(seconds), 3), "losses": [line["loss"] for line in lines]}


def table(results: dict) -> str:
    """Results as text."""
    rows = [
        f"Batches of {results['batch']} clips, {results['pause']} s to read each, {results['steps']} steps",
        *(f"{f'{workers} workers':12}{run['step_seconds']:8.3f} s a step" for workers, run in results["runs"].items()),
        f"losses are {'the same' if results['same_losses'] else 'different'}",
    ]
    return "\n".join(rows)
