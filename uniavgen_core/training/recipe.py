"""The recipe of the bundled model: what is made from which seeds, in which order, for how long.

Codec, sounds, the audio branch alone, whole clips, both branches together, and the files the pack ships. Each stage
leaves its result in the work folder and is skipped or resumed when it is found there.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.optim import AdamW

from ..checkpoint.load import save_weights
from ..config import TOON, ModelConfig
from ..media.video_codec import VideoCodec
from ..model.initialize import initialize
from ..model.joint import JointModel
from ..toon.speech import TEXT_POSITION_OFFSET, TEXT_POSITION_SCALE
from .codec import CodecStep, CodecTraining
from .dataset import Clips, ShardPlan, codec_clips, write_shards
from .diagonal import start_on_the_diagonal
from .loop import LoopConfig, Trainee, train
from .optimizer import OptimizerConfig, make_optimizers
from .step import AudioStep, JointStep, StepConfig

SPEECH_SEED, CODEC_SEED, CLIP_SEED = 1_000_000, 2_000_000, 3_000_000
"""First seeds of the sounds, of the codec's clips and of the clips; 0 upwards is left to evaluation."""
SPOKEN_MEL_FRAMES = 160
"""Mel frames the audio branch is first trained on: after 1.6 s of a 2 s clip there is only silence."""
MODEL_FILE, CODEC_FILE = "uniavgen_toon.safetensors", "toon_video_codec.safetensors"


@dataclass(frozen=True)
class Recipe:
    """Everything that fixes a bundled model but the machine.

    Attributes:
        work: Folder for shards, checkpoints and logs.
        seed: Seed of starting weights, batches and noise.
        codec_minutes: Minutes of codec training.
        audio_minutes: Minutes of training the audio branch alone.
        joint_minutes: Minutes of joint training.
        codec_clips: Clips the codec is trained on.
        speeches: Sounds the audio branch is trained on.
        clips: Clips for joint training.
        batch: Clips in a step of audio and joint training.
        workers: Processes that make clips.
        threads: CPU threads of training.
    """

    work: Path
    seed: int = 0
    codec_minutes: float = 11.0
    audio_minutes: float = 17.0
    joint_minutes: float = 60.0
    codec_clips: int = 700
    speeches: int = 6000
    clips: int = 8000
    batch: int = 16
    workers: int = 2
    threads: int = 2

    def within(self, minutes: float) -> "Recipe":
        """The same recipe with its training shortened or lengthened to ``minutes`` in all; making clips is extra."""
        share = minutes / (self.codec_minutes + self.audio_minutes + self.joint_minutes)
        lengths = {name: getattr(self, name) * share for name in ("codec_minutes", "audio_minutes", "joint_minutes")}
        return replace(self, **lengths)

    @property
    def codec_path(self) -> Path:
        """State dict of the trained codec."""
        return self.work / "codec_weights.pt"

    @property
    def speech_plan(self) -> ShardPlan:
        """Sounds for the audio branch."""
        return ShardPlan(self.work / "speech", self.speeches, first_seed=SPEECH_SEED)

    @property
    def clip_plan(self) -> ShardPlan:
        """Clips for joint training."""
        return ShardPlan(self.work / "clips", self.clips, first_seed=CLIP_SEED)

    def loop(self, name: str, minutes: float) -> LoopConfig:
        """Budget and files of one stage."""
        return LoopConfig(self.work, name, minutes=minutes)


def model_config() -> ModelConfig:
    """Geometry of the bundled model, with characters placed where toons speak them."""
    text = replace(TOON.text, position_offset=TEXT_POSITION_OFFSET, position_scale=TEXT_POSITION_SCALE)
    return replace(TOON, text=text)


def new_model(seed: int) -> JointModel:
    """The bundled model with its starting weights; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = JointModel(model_config())
        initialize(model)
    start_on_the_diagonal(model)
    return model


def train_codec(recipe: Recipe) -> None:
    """Train the video codec and leave its averaged weights in the work folder."""
    config = CodecTraining(clips=recipe.codec_clips)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        codec = VideoCodec().to(memory_format=torch.channels_last)
    adam = AdamW(codec.parameters(), config.learning_rate, betas=(0.9, 0.99), weight_decay=1e-3)
    trainee = Trainee(codec, [adam])
    step = CodecStep(codec, codec_clips(config.clips, CODEC_SEED), config, recipe.seed)
    train(trainee, step, replace(recipe.loop("codec", recipe.codec_minutes), average=0.998))
    torch.save(trainee.average, recipe.codec_path)


def make_speech(recipe: Recipe) -> None:
    """Make the sounds the audio branch is trained on."""
    write_shards(recipe.speech_plan, workers=recipe.workers)


def train_audio(recipe: Recipe) -> None:
    """Train the audio branch alone."""
    model = new_model(recipe.seed)
    clips = Clips(recipe.speech_plan)
    clips.arrays["mel"] = clips.arrays["mel"][:, :SPOKEN_MEL_FRAMES]
    step = AudioStep(model, clips, StepConfig(batch=recipe.batch, text_dropout_from=0.5), recipe.seed)
    train(Trainee(model, make_optimizers(model, OptimizerConfig())), step, recipe.loop("audio", recipe.audio_minutes))


def make_clips(recipe: Recipe) -> None:
    """Make the clips for joint training, coded by the trained codec."""
    write_shards(recipe.clip_plan, recipe.codec_path, recipe.workers)


def train_joint(recipe: Recipe) -> None:
    """Train both branches together, from the averaged weights of the audio stage."""
    model = new_model(recipe.seed)
    model.load_state_dict(torch.load(recipe.work / "audio.pt", weights_only=True)["average"])
    step = JointStep(model, Clips(recipe.clip_plan), StepConfig(batch=recipe.batch), recipe.seed + 1)
    train(Trainee(model, make_optimizers(model, OptimizerConfig())), step, recipe.loop("joint", recipe.joint_minutes))


def pack(recipe: Recipe) -> None:
    """Write the files the pack ships: both sets of weights in half precision, the recipe, and the logs."""
    output = recipe.work / "assets"
    output.mkdir(exist_ok=True)
    joint = torch.load(recipe.work / "joint.pt", weights_only=True)
    save_weights(joint["average"], model_config(), output / MODEL_FILE, torch.float16)
    codec = torch.load(recipe.codec_path, weights_only=True)
    save_file({name: value.half().contiguous() for name, value in codec.items()}, output / CODEC_FILE)
    with (output / "training_log.jsonl").open("w", encoding="utf-8") as file:
        file.write(json.dumps({"recipe": asdict(recipe) | {"work": None}}) + "\n")
        for stage in ("codec", "audio", "joint"):
            for line in (recipe.work / f"{stage}.jsonl").read_text(encoding="utf-8").splitlines():
                file.write(json.dumps({"stage": stage, **json.loads(line)}) + "\n")


STAGES: dict[str, Callable[[Recipe], None]] = {
    "codec": train_codec,
    "speech": make_speech,
    "audio": train_audio,
    "clips": make_clips,
    "joint": train_joint,
    "pack": pack,
}
