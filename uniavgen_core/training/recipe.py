"""The recipe of the bundled model: what is made from which seeds, in which order, for how long.

Codec, sounds, the audio branch alone, whole clips, both branches together, and the files the pack ships. Each stage
leaves its result in the work folder and is skipped or resumed when it is found there.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.multiprocessing
from torch import Tensor, nn
from torch.optim import AdamW

from ..config import TOON, ModelConfig
from ..media.video_codec import VideoCodec
from ..model.initialize import initialize
from ..model.joint import JointModel
from ..toon.speech import TEXT_POSITION_OFFSET, TEXT_POSITION_SCALE
from .attention import TRAINING
from .codec import CodecStep, CodecTraining
from .dataset import Clips, ShardPlan, codec_clips, write_shards
from .diagonal import start_on_the_diagonal
from .loop import LoopConfig, Trainee, train
from .optimizer import OptimizerConfig, make_optimizers
from .peers import Peers
from .step import AudioStep, JointStep, StepConfig

SPEECH_SEED, CODEC_SEED, CLIP_SEED = 1_000_000, 2_000_000, 3_000_000
VOICE_SEED, SCENE_SEED, PAIR_SEED = 6_000_000, 7_000_000, 8_000_000
"""First seeds of everything that is drawn; 0 upwards is left to evaluation, 5,000,000 to its judges."""
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
        decoder_minutes: Minutes of further training of the codec's decoder alone.
        audio_minutes: Minutes of training the audio branch alone.
        joint_minutes: Minutes of joint training.
        tasks_minutes: Minutes of training for the five tasks and two faces.
        codec_clips: Clips the codec is trained on.
        speeches: Sounds the audio branch is trained on.
        clips: Clips for joint training.
        scenes: Scenes for the tasks.
        pairs: Pictures with two faces for the tasks.
        voices: Reference voices for the tasks.
        batch: Clips in a step of audio and joint training.
        workers: Processes that make clips.
        threads: CPU threads of training.
        processes: Processes that share joint training.
        compiled: Compile parts of the network for joint training; needs a C++ compiler.
        shipped: Model file to start the tasks from, its codec beside it; None for what the stages before have left.
    """

    work: Path
    seed: int = 0
    codec_minutes: float = 17.0
    decoder_minutes: float = 20.0
    audio_minutes: float = 22.0
    joint_minutes: float = 47.0
    tasks_minutes: float = 65.0
    codec_clips: int = 700
    speeches: int = 6000
    clips: int = 5000
    scenes: int = 3000
    pairs: int = 500
    voices: int = 2400
    batch: int = 16
    workers: int = 2
    threads: int = 2
    processes: int = 2
    compiled: bool = True
    shipped: Path | None = None

    def within(self, minutes: float) -> "Recipe":
        """The same recipe with its training shortened or lengthened to ``minutes`` in all; making clips is extra."""
        lengths = {name: getattr(self, name) for name in vars(self) if name.endswith("_minutes")}
        share = minutes / sum(lengths.values())
        return replace(self, **{name: length * share for name, length in lengths.items()})

    @property
    def codec_path(self) -> Path:
        """State dict of the trained codec."""
        return self.work / "codec_weights.pt"

    @property
    def decoder_path(self) -> Path:
        """State dict of the codec after its decoder was trained further."""
        return self.work / "decoder_weights.pt"

    @property
    def speech_plan(self) -> ShardPlan:
        """Sounds for the audio branch."""
        return ShardPlan(self.work / "speech", self.speeches, first_seed=SPEECH_SEED)

    @property
    def clip_plan(self) -> ShardPlan:
        """Clips for joint training."""
        return ShardPlan(self.work / "clips", self.clips, first_seed=CLIP_SEED)

    @property
    def task_plans(self) -> dict[str, ShardPlan]:
        """Scenes, pairs and voices for the tasks."""
        seeds = {"voices": VOICE_SEED, "scenes": SCENE_SEED, "pairs": PAIR_SEED}
        return {kind: ShardPlan(self.work / kind, getattr(self, kind), first_seed=seed) for kind, seed in seeds.items()}

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
        model = JointModel(model_config(), TRAINING)
        initialize(model)
    start_on_the_diagonal(model)
    return model


def train_codec(recipe: Recipe) -> None:
    """Train the video codec and leave its averaged weights in the work folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        codec = VideoCodec()
    loop = recipe.loop("codec", recipe.codec_minutes)
    average = _train_codec_part(codec, codec.parameters(), CodecTraining(clips=recipe.codec_clips), loop, recipe.seed)
    torch.save(average, recipe.codec_path)


def train_decoder(recipe: Recipe) -> None:
    """Train the codec's decoder further, with more weight on edges; the latents stay as they are."""
    codec = VideoCodec()
    codec.load_state_dict(torch.load(recipe.codec_path, weights_only=True))
    config = CodecTraining(
        clips=recipe.codec_clips, decoder_only=True, motion_weight=6.0, edge_weight=1.0, latent_noise=0.25
    )
    loop = recipe.loop("decoder", recipe.decoder_minutes)
    average = _train_codec_part(codec, codec.decoder.parameters(), config, loop, recipe.seed + 1)
    torch.save(average, recipe.decoder_path)


def _train_codec_part(
    codec: VideoCodec, parameters: Iterable[nn.Parameter], config: CodecTraining, loop: LoopConfig, seed: int
) -> dict[str, Tensor]:
    """Train some of the codec's parameters; returns the averaged weights of all."""
    codec.to(memory_format=torch.channels_last)
    adam = AdamW(parameters, config.learning_rate, betas=(0.9, 0.99), weight_decay=1e-3)
    trainee = Trainee(codec, [adam])
    step = CodecStep(codec, codec_clips(config.clips, CODEC_SEED), config, seed)
    train(trainee, step, replace(loop, average=0.998))
    return trainee.average


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
    meeting = recipe.work / "meeting"
    meeting.unlink(missing_ok=True)
    torch.multiprocessing.spawn(_train_joint_part, (recipe, meeting), nprocs=recipe.processes)


def _train_joint_part(rank: int, recipe: Recipe, meeting: Path) -> None:
    """What one process does in joint training."""
    torch.set_num_threads(max(1, recipe.threads // recipe.processes))
    peers = Peers(rank, recipe.processes, meeting)
    model = new_model(recipe.seed)
    model.load_state_dict(torch.load(recipe.work / "audio.pt", weights_only=True)["average"])
    if recipe.compiled:
        compile_parts(model)
    config = StepConfig(batch=recipe.batch // recipe.processes)
    step = JointStep(model, Clips(recipe.clip_plan), config, recipe.seed + 1, rank)
    trainee = Trainee(model, make_optimizers(model, OptimizerConfig()), peers)
    train(trainee, step, recipe.loop("joint", recipe.joint_minutes))
    peers.part()


def compile_parts(model: JointModel) -> None:
    """Compile the parts whose inputs keep their shape; on a CPU the interaction is eight times faster for it."""
    for module in (*model.blocks, *model.a2v_blocks, *model.v2a_blocks):
        module.compile(dynamic=False)
