"""The stages of the recipe by name, in order; the last ones train for the tasks and write what the pack ships."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace

import torch
from safetensors.torch import save_file

from ..checkpoint.geometry import PREVIEW_KEY
from ..checkpoint.load import read_tensors, save_weights
from ..model.joint import JointModel
from .dataset import load_codec
from .estimate import AUDIO_BRANCH
from .launch import launch
from .material import Material
from .monitor import LOG
from .optimizer import OptimizerConfig, make_optimizers
from .preview import preview_of_toons
from .recipe import (
    CODEC_FILE,
    MODEL_FILE,
    Recipe,
    make_clips,
    make_speech,
    model_config,
    new_model,
    train,
    train_audio,
    train_codec,
    train_decoder,
    train_joint,
)
from .scenes import write_rows
from .sigmas import LogitNormal
from .task_step import TaskStep
from .tasks import TaskConfig

TASK_RATES = OptimizerConfig(muon_rate=0.01, rate=7.5e-4)
"""Half of joint training's rates: enough to learn, not so much that the joint weights are forgotten."""
SIGHT = TaskConfig(
    joint=0.2, voice=0.1, continuation=0.1, dubbing=0.5, audio_driven=0.0, pair=0.1, sigmas=LogitNormal(1.7, 1.2),
    mask_weight=0.0, video_weight=0.0, voice_in_dubbing=0.5, any_emotion_in_dubbing=True,
)  # fmt: skip
"""What teaches the voice to follow the face: sound alone counts, the picture is often given, noise is high, where
pitch and manner are decided. After the other stages voices had learned nothing of a face but when its mouth moves.
Where the speaker is known from a reference, what is left to learn from the face is its emotion."""
FINISH = TaskConfig(
    joint=0.4, voice=0.08, continuation=0.12, dubbing=0.2, audio_driven=0.05, pair=0.15, sigmas=LogitNormal(1.2, 1.2),
    mask_weight=0.1, mask_weight_end=0.1, voice_in_dubbing=0.5, any_emotion_in_dubbing=True,
)  # fmt: skip
"""Everything once more, together: with the picture's branch held still, a face's emotion never reached the voice, because
nothing made that branch show it; and heads that move were still being learned."""
TASK_WARMUP = 15
"""Steps over which the rates rise: few, because the weights are trained already."""
TASK_FALL = 1.2
"""Power by which the rates fall: faster than before, so that a short run ends with small steps."""


def make_scenes(recipe: Recipe) -> None:
    """Make voices, scenes and pairs, coded by the codec that will ship."""
    codec = recipe.codec_path if recipe.shipped is None else recipe.shipped.parent / CODEC_FILE
    for kind, plan in recipe.task_plans.items():
        write_rows(plan, kind, codec, recipe.workers)


def train_tasks(recipe: Recipe) -> None:
    """Train for the five tasks and two faces, from the averaged weights of the joint stage or from a shipped file."""
    launch(_train_tasks, recipe, recipe.processes, recipe.threads)


def _train_tasks(recipe: Recipe) -> bool:
    model = _started(recipe, "joint")
    return _train_further(recipe, "tasks", model, TaskConfig())


def train_sight(recipe: Recipe) -> None:
    """Train what makes the sound and what it sees of faces; the picture's branch stays as it is."""
    launch(_train_sight, recipe, recipe.processes, recipe.threads)


def _train_sight(recipe: Recipe) -> bool:
    model = _started(recipe, "tasks")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith((*AUDIO_BRANCH, "v2a_blocks.")))
    return _train_further(recipe, "sight", model, SIGHT)


def train_finish(recipe: Recipe) -> None:
    """Train all of the network once more."""
    launch(_train_finish, recipe, recipe.processes, recipe.threads)


def _train_finish(recipe: Recipe) -> bool:
    return _train_further(recipe, "finish", _started(recipe, "sight"), FINISH)


def _started(recipe: Recipe, earlier: str) -> JointModel:
    """The network with the weights of a shipped file, or those an earlier stage has left."""
    model = new_model(recipe.seed)
    if recipe.shipped is None:
        weights = recipe.trained(earlier)
    else:
        weights = {name: value.float() for name, value in read_tensors(recipe.shipped)[0].items()}
    model.load_state_dict(weights)
    return model


def _train_further(recipe: Recipe, name: str, model: JointModel, config: TaskConfig) -> bool:
    """What one process does; uncompiled, since every task has shapes of its own."""
    step = TaskStep(Material(recipe.task_plans, config, model_config().text), config, recipe.seed + 2)
    run = replace(recipe.run(name), warmup=TASK_WARMUP, fall=TASK_FALL)
    return train(recipe, model, make_optimizers(model, TASK_RATES), step, run)


def pack(recipe: Recipe) -> None:
    """Write the files the pack ships: both sets of weights in half precision, the recipe, and the logs."""
    output = recipe.work / "assets"
    output.mkdir(exist_ok=True)
    codec = torch.load(recipe.decoder_path, weights_only=True)
    preview = {PREVIEW_KEY: json.dumps(asdict(preview_of_toons(load_codec(recipe.decoder_path))))}
    save_weights(recipe.trained("finish"), model_config(), output / MODEL_FILE, torch.float16, preview)
    save_file({name: value.half().contiguous() for name, value in codec.items()}, output / CODEC_FILE)
    with (output / "training_log.jsonl").open("w", encoding="utf-8") as file:
        file.write(json.dumps({"recipe": asdict(recipe) | {"work": None, "shipped": None}}) + "\n")
        for stage in ("codec", "audio", "decoder", "joint", "tasks", "sight", "finish"):
            for line in (recipe.work / stage / LOG).read_text(encoding="utf-8").splitlines():
                values = {name: round(value, 5) for name, value in json.loads(line).items()}
                file.write(json.dumps({"stage": stage, **values}) + "\n")


STAGES: dict[str, Callable[[Recipe], None]] = {
    "codec": train_codec,
    "speech": make_speech,
    "audio": train_audio,
    "clips": make_clips,
    "decoder": train_decoder,
    "joint": train_joint,
    "scenes": make_scenes,
    "tasks": train_tasks,
    "sight": train_sight,
    "finish": train_finish,
    "pack": pack,
}
