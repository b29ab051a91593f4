"""The stages of the recipe by name, in order; the last ones train for the tasks and write what the pack ships."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from uniavgen_core.bundled.bundled_files import CODEC_FILE, MODEL_FILE, load_codec
from uniavgen_core.checkpoint.config_from_weights import KNOWN_TEXT_KEY, PREVIEW_KEY
from uniavgen_core.checkpoint.load_weights import save_weights
from uniavgen_core.checkpoint.own_sampling import OwnSampling
from uniavgen_core.checkpoint.trained_on import BUNDLED_CLIPS, metadata_of_clips
from uniavgen_core.config import to_dict
from uniavgen_core.model.joint import JointModel
from uniavgen_core.training.estimate import AUDIO_BRANCH
from uniavgen_core.training.launch import launch
from uniavgen_core.training.learned_guidance import stage_objective
from uniavgen_core.training.monitor import LOG
from uniavgen_core.training.optimizer import OptimizerConfig, make_optimizers
from uniavgen_core.training.task_sampling import LogitNormal

from ..clips.scene import VIDEO_FRAMES
from ..clips.sentence import longest_sentence
from .clip_shards import pair_row, scene_row, voice_row, write_shards
from .codec_stages import train_codec, train_decoder, train_on_estimates, train_refine
from .preview_colours import preview_of_toons
from .recipe import (
    LENGTHS,
    Recipe,
    make_clips,
    make_speech,
    starting_model,
    train,
    train_audio,
    train_joint,
)
from .task_clips import TaskClips
from .toon_tasks import ToonTaskConfig

SOUND = (*AUDIO_BRANCH, "v2a_blocks.")
"""Prefixes of the names of all weights that make the sound."""
TASK_RATES = OptimizerConfig(muon_rate=0.01, rate=7.5e-4)
"""Half of joint training's rates: enough to learn, not so much that the joint weights are forgotten."""
PICTURE = ToonTaskConfig(
    joint=0.3, reference_voice=0.2, continuation=0.1, dubbing=0.0, audio_driven=0.15, pair=0.25, voice_blind=0.0,
    interaction_off=0.1, mask_weight=0.1, mask_weight_end=0.1,
)  # fmt: skip
"""Tasks that sharpen pictures: all in which video is generated, most of them with sound that the picture does not
steer, since half the network then needs no gradient."""
SIGHT = ToonTaskConfig(
    joint=0.35, reference_voice=0.15, continuation=0.05, dubbing=0.4, audio_driven=0.0, pair=0.05,
    sigmas=LogitNormal(4.0, 1.0), mask_weight=0.0, video_weight=0.0, voice_in_dubbing=0.3,
    any_emotion_in_dubbing=True, interaction_off=0.05,
)  # fmt: skip
"""Tasks that teach the voice to follow the face: sound alone counts, and all of it is nearly noise. Pitch and manner
are decided there: with 16,000 values of a mel, noise of .95 already lets through whether a voice is loud and high, so
that below it a face tells nothing new."""
WORDS = ToonTaskConfig(
    joint=0.8, reference_voice=0.2, continuation=0.0, dubbing=0.0, audio_driven=0.0, pair=0.0, joint_blind=1.0,
    voice_blind=1.0, sigmas=LogitNormal(2.0, 1.5), mask_weight=0.0, video_weight=0.0,
)  # fmt: skip
"""Tasks that teach words, which take the most steps: the audio branch alone, in steps of a third of the time of
those of ``SETTLE``."""
SETTLE = replace(
    SIGHT, joint=0.45, reference_voice=0.18, continuation=0.08, dubbing=0.12, audio_driven=0.05, pair=0.1, relip=0.2,
    joint_blind=0.4, interaction_off=0.1, sigmas=LogitNormal(3.0, 2.0), video_weight=1.0, mask_weight=0.1,
    mask_weight_end=0.1,
)  # fmt: skip
"""All of it together at all levels of noise: picture and sound were trained apart, and what is heard at low noise was
partly unlearned at high noise."""
UNGUIDED_STEPS = 8
"""Steps that suit a network that has learned guidance: with 4, fewer words are right; 16 mend no eyes."""
TASK_WARMUP = 15
"""Steps over which the rates rise: few, because the weights are trained already."""
TASK_FALL = 1.2
"""Power by which the rates fall: faster than before, so that a short run ends with small steps."""


def make_scenes(recipe: Recipe) -> None:
    """Make voices, scenes and pairs, coded by the codec that will ship."""
    for kind, row_of in {"voices": voice_row, "scenes": scene_row, "pairs": pair_row}.items():
        for plan in recipe.task_plans[kind]:
            write_shards(plan, row_of, recipe.known_codec, recipe.workers)


def train_tasks(recipe: Recipe) -> bool:
    """Train for the five tasks and two faces, from the averaged weights of the joint stage or from a shipped file."""
    return _train_further(recipe, "tasks", starting_model(recipe, "joint"), ToonTaskConfig())


def train_picture(recipe: Recipe) -> bool:
    """Train the picture alone; what makes the sound stays as it is."""
    return _train_further(recipe, "picture", all_but_sound(starting_model(recipe, "tasks")), PICTURE)


def train_sight(recipe: Recipe) -> bool:
    """Teach the voice to follow the face; the picture's branch stays as it is."""
    return _train_further(recipe, "sight", sound_alone(starting_model(recipe, "picture")), SIGHT)


def train_words(recipe: Recipe) -> bool:
    """Teach the audio branch more words; the picture's branch stays as it is."""
    return _train_further(recipe, "words", sound_alone(starting_model(recipe, "sight")), WORDS)


def train_settle(recipe: Recipe) -> bool:
    """Train picture and sound together again, at all levels of noise."""
    return _train_further(recipe, "settle", starting_model(recipe, "words"), SETTLE)


def sound_alone(model: JointModel) -> JointModel:
    """The network with only what makes the sound, and what that sees of faces, to be trained."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(SOUND))
    return model


def all_but_sound(model: JointModel) -> JointModel:
    """The network with all the rest to be trained: what makes the picture, and what that hears."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(SOUND))
    return model


def _train_further(recipe: Recipe, name: str, model: JointModel, config: ToonTaskConfig) -> bool:
    """Train in one process; uncompiled, since every task has shapes of its own."""
    clips = TaskClips(recipe.task_plans, config, recipe.model.text)
    objective = stage_objective(clips, config, recipe.seed + 2, recipe.guidance)
    run = replace(recipe.run(name), warmup=TASK_WARMUP, fall=TASK_FALL)
    return train(recipe, model, make_optimizers(model, TASK_RATES), objective, run)


def pack(recipe: Recipe) -> None:
    """Write the files the pack ships: both sets of weights in half precision, the recipe, and the logs."""
    output = recipe.work / "assets"
    output.mkdir(exist_ok=True)
    trained_codec = load_codec(recipe.final_codec)
    codec = trained_codec.state_dict()
    preview = {PREVIEW_KEY: json.dumps(preview_of_toons(trained_codec))}
    longest = longest_sentence(VIDEO_FRAMES, recipe.world)
    knows = {KNOWN_TEXT_KEY: json.dumps({"words": recipe.world.vocabulary, "longest_voice_text": longest})}
    frames = (min(LENGTHS), max(LENGTHS)) if recipe.lively else (VIDEO_FRAMES, VIDEO_FRAMES)
    clips = replace(BUNDLED_CLIPS, fewest_frames=frames[0], most_frames=frames[1])
    sampling = {} if recipe.guidance is None else OwnSampling(UNGUIDED_STEPS, guided=False).metadata
    more = preview | knows | metadata_of_clips(clips) | sampling
    save_weights(recipe.trained("settle"), recipe.model, output / MODEL_FILE, torch.float16, more)
    save_file({name: value.half().contiguous() for name, value in codec.items()}, output / CODEC_FILE)
    with (output / "training_log.jsonl").open("w", encoding="utf-8") as file:
        file.write(json.dumps({"recipe": to_dict(recipe) | {"work": None, "shipped": None}}) + "\n")
        for stage in STAGES:
            log = recipe.work / stage / LOG
            for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
                values = {name: round(value, 5) for name, value in json.loads(line).items()}
                file.write(json.dumps({"stage": stage, **values}) + "\n")


def _alone(work: Callable[[Recipe], bool]) -> Callable[[Recipe], None]:
    """Stage that trains in a process of its own."""
    return lambda recipe: launch(work, recipe, 1, recipe.threads)


def _shared(work: Callable[[Recipe], bool]) -> Callable[[Recipe], None]:
    """Stage whose training is shared by the recipe's processes."""
    return lambda recipe: launch(work, recipe, recipe.processes, recipe.threads)


def _codec(work: Callable[[Recipe], bool], name: str, path_of: Callable[[Recipe], Path]) -> Callable[[Recipe], None]:
    """Stage that trains the codec, and leaves its averaged weights in a file."""

    def stage(recipe: Recipe) -> None:
        launch(work, recipe, 1, recipe.threads)
        torch.save(recipe.trained(name), path_of(recipe))

    return stage


STAGES: dict[str, Callable[[Recipe], None]] = {
    "codec": _codec(train_codec, "codec", lambda recipe: recipe.codec_path),
    "refine": _codec(train_refine, "refine", lambda recipe: recipe.refined_path),
    "speech": make_speech,
    "audio": _alone(train_audio),
    "clips": make_clips,
    "decoder": _codec(train_decoder, "decoder", lambda recipe: recipe.decoder_path),
    "joint": _shared(train_joint),
    "scenes": make_scenes,
    "tasks": _shared(train_tasks),
    "picture": _shared(train_picture),
    "sight": _shared(train_sight),
    "words": _shared(train_words),
    "settle": _shared(train_settle),
    "estimates": _codec(train_on_estimates, "estimates", lambda recipe: recipe.finished_path),
    "pack": pack,
}
