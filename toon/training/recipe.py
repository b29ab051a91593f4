"""The recipe of the bundled model: its data and their seeds, its stages and their lengths.

Codec, sounds, the audio branch alone, whole clips, both branches together, and the files the pack ships. Each stage
leaves its result in the work folder and is skipped or resumed when it is found there.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn
from torch.optim import Optimizer

from uniavgen_core.bundled.bundled_files import CODEC_FILE
from uniavgen_core.checkpoint.load_weights import read_tensors
from uniavgen_core.config import GuidanceConfig, ModelConfig
from uniavgen_core.model.joint import JointModel
from uniavgen_core.training.batch_part import Objective
from uniavgen_core.training.checkpoint_weights import averaged_weights
from uniavgen_core.training.checkpoints import Checkpoints
from uniavgen_core.training.engine import EngineConfig, make_accelerator
from uniavgen_core.training.optimizer import OptimizerConfig, make_optimizers
from uniavgen_core.training.task_sampling import task_objective
from uniavgen_core.training.trainer import Trainer
from uniavgen_core.training.trainer_config import TrainerConfig

from .. import LIVELY_MODEL, MODEL
from ..clips.world import LIVELY, STEADY, World
from .clip_shards import ShardPlan, clip_row, read_shards, speech_row, write_shards
from .diagonal_start import new_model
from .first_stages import FirstStageConfig, WholeClips, spoken_parts

SPEECH_SEED, CODEC_SEED, CLIP_SEED = 1_000_000, 2_000_000, 3_000_000
VOICE_SEED, SCENE_SEED, PAIR_SEED, ESTIMATE_SEED = 6_000_000, 7_000_000, 8_000_000, 9_000_000
"""First seeds of everything that is drawn; 0 upwards is left to evaluation, 5,000,000 to its judges."""
LENGTHS = {17: 0.125, 25: 0.2, 33: 0.35, 49: 0.2, 65: 0.125}
"""Share of lively clips of each length, video frames: one to four seconds."""
SEEDS_OF_A_LENGTH = 100_000
TASK_STAGES = ("joint", "tasks", "picture", "sight", "words", "settle")
"""Stages that train the whole network, or a part of it, one after the other; each may be left out."""
SPOKEN_MEL_FRAMES = 160
"""Mel frames the audio branch is first trained on: after 1.6 s of a 2 s clip there is only silence."""


@dataclass(frozen=True)
class Recipe:
    """Everything that fixes a bundled model but the machine.

    Attributes:
        work: Folder for shards, checkpoints and logs.
        seed: Seed of starting weights, batches and noise.
        codec_steps: Steps of codec training; the others are of the stage of their name.
        codec_clips: Clips the codec is trained on.
        speeches: Sounds the audio branch is trained on.
        clips: Clips for joint training.
        scenes: Scenes for the tasks.
        pairs: Pictures with two faces for the tasks.
        voices: Reference voices for the tasks.
        estimated: Clips that the network estimates for the decoder.
        codec_batch: Chunks in a step of codec training.
        batch: Clips in a step of all other training.
        workers: Processes that make clips.
        threads: CPU threads of training.
        processes: Processes that share training of both branches.
        compiled: Compile parts of the network for joint training; needs a C++ compiler.
        accelerated: Train on a GPU, in one process.
        shipped: Model file to start the tasks from, its codec beside it; None for what the stages before have left.
        lively: Whether chance decides what conditions leave open; clips then have five lengths and many words.
        guidance: Guidance for the stages from tasks to settle to learn, so that sampling needs none; None for none.
    """

    work: Path
    seed: int = 0
    codec_steps: int = 4490
    refine_steps: int = 6000
    decoder_steps: int = 4500
    audio_steps: int = 1610
    joint_steps: int = 1201
    tasks_steps: int = 900
    picture_steps: int = 900
    sight_steps: int = 300
    words_steps: int = 3000
    settle_steps: int = 1600
    estimates_steps: int = 12000
    codec_clips: int = 700
    speeches: int = 6000
    clips: int = 5000
    scenes: int = 9000
    pairs: int = 500
    voices: int = 2400
    estimated: int = 1200
    codec_batch: int = 24
    batch: int = 16
    workers: int = 2
    threads: int = 2
    processes: int = 2
    compiled: bool = True
    accelerated: bool = False
    shipped: Path | None = None
    lively: bool = False
    guidance: GuidanceConfig | None = None

    @property
    def world(self) -> World:
        """World of the clips."""
        return LIVELY if self.lively else STEADY

    @property
    def model(self) -> ModelConfig:
        """Sizes of the network, with characters placed where toons of this world speak them."""
        return LIVELY_MODEL if self.lively else MODEL

    def scaled(self, scale: float) -> "Recipe":
        """The same recipe with all its training shortened or lengthened; at least one step remains of each.

        Raises:
            ValueError: If ``scale`` is not positive.
        """
        if scale <= 0:
            raise ValueError(f"scale is {scale}; it must be positive.")
        lengths = {name: getattr(self, name) for name in vars(self) if name.endswith("_steps")}
        return replace(self, **{name: max(1, round(steps * scale)) for name, steps in lengths.items()})

    @property
    def codec_path(self) -> Path:
        """State dict of the trained codec."""
        return self.work / "codec_weights.pt"

    @property
    def refined_path(self) -> Path:
        """State dict of the codec after it was trained further; the latents of all data are its."""
        return self.work / "refined_weights.pt"

    @property
    def unrefined_codec(self) -> Path:
        """Weights of the codec to refine: those its own stage has left, or the shipped ones."""
        if self.shipped is None or self.codec_path.exists():
            return self.codec_path
        return self.shipped.parent / CODEC_FILE

    @property
    def known_codec(self) -> Path:
        """Weights of the codec to go on with: the refined ones, if there are any."""
        return self.refined_path if self.refined_path.exists() else self.unrefined_codec

    @property
    def decoder_path(self) -> Path:
        """State dict of the codec after its decoder was trained further."""
        return self.work / "decoder_weights.pt"

    @property
    def finished_path(self) -> Path:
        """State dict of the codec after its decoder was trained on the network's estimates."""
        return self.work / "finished_weights.pt"

    @property
    def known_decoder(self) -> Path:
        """Weights of the codec whose decoder to go on with: the further trained one, if there is one."""
        return self.decoder_path if self.decoder_path.exists() else self.known_codec

    @property
    def final_codec(self) -> Path:
        """Weights of the codec to ship: those of the last stage that has left any, or the shipped ones."""
        return self.finished_path if self.finished_path.exists() else self.known_decoder

    @property
    def speech_plans(self) -> tuple[ShardPlan, ...]:
        """Sounds for the audio branch."""
        return self._plans("speech", self.speeches, SPEECH_SEED)

    @property
    def clip_plans(self) -> tuple[ShardPlan, ...]:
        """Clips for joint training."""
        return self._plans("clips", self.clips, CLIP_SEED)

    def _plans(self, name: str, count: int, first_seed: int) -> tuple[ShardPlan, ...]:
        """Plans of one kind of clips, one for each length."""
        if not self.lively:
            return (ShardPlan(self.work / name, count, first_seed=first_seed),)
        return tuple(
            ShardPlan(
                self.work / name / f"{frames}", round(share * count), video_frames=frames, world=self.world,
                first_seed=first_seed + SEEDS_OF_A_LENGTH * number,
            )
            for number, (frames, share) in enumerate(LENGTHS.items())
        )  # fmt: skip

    @property
    def task_plans(self) -> dict[str, tuple[ShardPlan, ...]]:
        """Scenes, pairs and voices for the tasks; scenes of several lengths are in several plans."""
        alike = {
            kind: (ShardPlan(self.work / kind, getattr(self, kind), first_seed=seed, world=self.world),)
            for kind, seed in {"voices": VOICE_SEED, "pairs": PAIR_SEED}.items()
        }
        return alike | {"scenes": self._plans("scenes", self.scenes, SCENE_SEED)}

    def run(self, name: str, batch: int | None = None) -> TrainerConfig:
        """Length and folder of one stage; a checkpoint is written every twentieth of it."""
        steps = getattr(self, f"{name}_steps")
        every = max(1, steps // 20)
        # Clips are in memory, and the cores are busy training.
        return TrainerConfig(
            self.work, name, steps, batch=batch or self.batch, checkpoint_every=every, keep=1, workers=0
        )

    def trained(self, name: str) -> dict[str, Tensor]:
        """Averaged weights that a stage has left.

        Raises:
            ValueError: If it has left none.
        """
        newest = Checkpoints(self.work / name, 1).newest()
        if newest is None:
            raise ValueError(f"The stage {name} has left nothing in {self.work}; run it first.")
        return averaged_weights(newest)


def starting_model(recipe: Recipe, earlier: str) -> JointModel:
    """The network with the weights of the last stage up to an earlier one that has left any, or of a shipped file."""
    model = new_model(recipe.model, recipe.seed)
    stages = TASK_STAGES[: TASK_STAGES.index(earlier) + 1]
    left = [name for name in stages if Checkpoints(recipe.work / name, 1).newest() is not None]
    if recipe.shipped is None or left:
        weights = recipe.trained(left[-1] if left else earlier)
    else:
        weights = {name: value.float() for name, value in read_tensors(recipe.shipped)[0].items()}
    model.load_state_dict(weights)
    return model


def train(
    recipe: Recipe, model: nn.Module, optimizers: list[Optimizer], objective: Objective, config: TrainerConfig
) -> bool:
    """Train a stage in this process and its peers; returns whether the end was reached."""
    accelerator = make_accelerator(EngineConfig(cpu=not recipe.accelerated), config.home)
    finished = Trainer(model, optimizers, objective, config, accelerator).run()
    accelerator.end_training()
    return finished


def make_speech(recipe: Recipe) -> None:
    """Make the sounds the audio branch is trained on."""
    for plan in recipe.speech_plans:
        write_shards(plan, speech_row, workers=recipe.workers)


def train_audio(recipe: Recipe) -> bool:
    """Train the audio branch alone."""
    model = new_model(recipe.model, recipe.seed)
    sounds = [read_shards(plan) for plan in recipe.speech_plans]
    if recipe.lively:
        sounds = [part for rows in sounds for part in spoken_parts(rows)]
    else:
        sounds[0]["mel"] = sounds[0]["mel"][:, :SPOKEN_MEL_FRAMES]
    config = FirstStageConfig(audio_alone=True, text_dropout_from=0.5)
    objective = task_objective(WholeClips(*sounds), config, recipe.seed)
    return train(recipe, model, make_optimizers(model, OptimizerConfig()), objective, recipe.run("audio"))


def make_clips(recipe: Recipe) -> None:
    """Make the clips for joint training, coded by the trained codec."""
    for plan in recipe.clip_plans:
        write_shards(plan, clip_row, recipe.known_codec, recipe.workers)


def train_joint(recipe: Recipe) -> bool:
    """Train both branches together, from the averaged weights of the audio stage."""
    model = new_model(recipe.model, recipe.seed)
    model.load_state_dict(recipe.trained("audio"))
    if recipe.compiled:
        compile_parts(model)
    objective = task_objective(
        WholeClips(*(read_shards(plan) for plan in recipe.clip_plans)), FirstStageConfig(), recipe.seed + 1
    )
    return train(recipe, model, make_optimizers(model, OptimizerConfig()), objective, recipe.run("joint"))


def compile_parts(model: JointModel) -> None:
    """Compile what is worth it: of video-to-audio, PyTorch 2.11 makes C++ for a CPU that crashes backwards."""
    for module in (*model.blocks, *model.audio_blocks, *model.a2v_blocks):
        module.compile(dynamic=False)
