"""Train on one's own clips: ``accelerate launch -m uniavgen_core.training run CONFIG.json``; broken runs go on."""

import argparse
import json
import sys
from math import prod
from pathlib import Path
from typing import Any

from ...checkpoint.trained_on import clips_of_latents
from ...config import ModelConfig
from ...shapes import SIZE_MULTIPLE, SPATIAL_FACTOR, AVShape, video_frames_of
from ..data.clip_encoders import BUNDLED
from ..data.clip_store import read_settings
from ..data.encoded_clips import EncodedClips
from ..engine import make_accelerator
from ..estimate import RunSize, estimate, table
from ..launch import INTERRUPTED
from ..prepare_run import build_model, make_adam, metadata_of_run, objective_of, open_data, write_note
from ..run_config import RunConfig, read_run
from ..trainer import Trainer

SUMMARY = "a stage of the paper or a distillation on your clips, as a JSON file says"


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="uniavgen_core.training run", description=__doc__)
    parser.add_argument("config", type=Path, help="JSON file: stage, data, and whatever is to differ from the paper")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Train, and say where the checkpoints lie.

    Returns:
        0, 2 for bad input, or 130 if stopped.
    """
    options = parse(arguments)
    try:
        run = read_run(options.config)
        trainer = prepare(run)
    except (ImportError, OSError, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command line talks
        return 2
    finished = trainer.run()
    first = trainer.accelerator.is_main_process
    trainer.accelerator.end_training()
    if first:
        result = {"run": str(trainer.config.home), "steps": trainer.step, "finished": finished}
        words = "Done" if finished else "Stopped; the same command goes on from here"
        print(json.dumps(result) if options.json else f"{words}: {trainer.config.home}")  # noqa: T201
    return 0 if finished else INTERRUPTED


def prepare(run: RunConfig) -> Trainer:
    """Prepare everything up to the first step.

    Raises:
        ImportError: If a package is missing.
        ValueError: If data, files or sizes do not fit.
    """
    config = run.trainer_config
    accelerator = make_accelerator(run.engine_config, config.home, config.accumulation)
    config.part(0, 0, 0, accelerator.num_processes)
    model = build_model(run, accelerator.device)
    source = open_data(run, model.config, accelerator)
    if accelerator.is_main_process:
        for line in (*source.notices, table(estimate(size_of(run, model.config, source, accelerator)))):
            print(line, file=sys.stderr)  # noqa: T201
        seen = clips_of_latents(clip.latents[1:] for clip in source.clips)
        write_note(config.home, model.config, run.plan, metadata_of_run(run, seen))
    optimizer = make_adam(model, run.preset.adam)
    return Trainer(model, [optimizer], objective_of(run, source), config, accelerator, sampler_of(run, source))


def size_of(run: RunConfig, model: ModelConfig, source: EncodedClips, accelerator: Any) -> RunSize:
    """Size of the run for the estimate; of clips in several sizes, the largest."""
    config = run.trainer_config
    sizes = [clip.latents[1:] for clip in source.clips]
    latents, rows, columns = max(sizes, key=prod)
    size = (SPATIAL_FACTOR * columns or SIZE_MULTIPLE, SPATIAL_FACTOR * rows or SIZE_MULTIPLE)
    return RunSize(
        model=model,
        shape=AVShape(*size, video_frames_of(latents)),
        stage=run.preset.number,
        batch=config.batch,
        devices=accelerator.num_processes,
        accumulation=config.accumulation,
        half=accelerator.mixed_precision == "bf16",
        sharded=accelerator.is_fsdp2,
        recomputed=run.checkpointing,
        averaged=config.average is not None,
        lora=run.plan,
        distillation=run.distillation,
        learns_guidance=run.learned_guidance is not None,
        steps=config.steps,
    )


def sampler_of(run: RunConfig, source: EncodedClips) -> Any:
    """A sampler where latents can be decoded here: those of the bundled codec, sound and picture together."""
    from ..bundled_samples import BundledSampler

    bundled = all(read_settings(folder)["encoders"] == BUNDLED for folder in set(source.folders))
    if not run.trainer_config.sample_every or run.preset.audio_alone or not bundled:
        return None
    return BundledSampler(source, seed=run.seed, distillation=run.distillation)
