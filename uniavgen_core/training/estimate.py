"""Estimate of a training run's memory and time before it starts.

Memory and arithmetic are counted by ``memory_trace``, which runs the network on tensors without memory; the speed of
the device is assumed. Memory of libraries, workspaces of single operations, loss and data loading are not counted.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ..config import RELEASED, Interaction, ModelConfig
from ..layers.backend import Backend
from ..model.joint import JointModel
from ..shapes import AVShape
from .distill.distill_config import DistillConfig
from .lora import ADAPTER, LoraPlan, add_lora
from .memory_trace import COUNTED, DeepTrace, Inputs, trace

GIGA, TERA = 1e9, 1e12
SECONDS_OF_A_DAY = 86_400
FLOAT, ADAM, MUON = 4, 8, 4
"""Bytes per weight: of itself, its gradient or its average, and of the state of each optimiser."""
VOICE_FRAMES = 330
"""Mel frames of the longest reference voice of the tasks: three seconds and its silence."""
AUDIO_BRANCH = (
    "audio_",
    "text_embedding.",
    "text_proj.",
    "time_embedding_audio.",
    "time_projection_audio.",
    "head_audio.",
)
"""Prefixes of the names of the weights that the first stage trains."""
UNITS_GATHERED = 2
"""Layers of a sharded network that are gathered at once: the one that computes and the next."""


@dataclass(frozen=True)
class Device:
    """Accelerator that a run computes on.

    Attributes:
        name: Name of the device.
        peak: Dense bfloat16 teraflop per second.
        memory: Memory in GB.
        share: Share of the peak that training is expected to reach (MFU); an assumption unless measured.
    """

    name: str
    peak: float
    memory: float
    share: float = 0.4

    def __post_init__(self) -> None:
        if self.peak <= 0 or not 0 < self.share <= 1:
            raise ValueError(f"peak is {self.peak} and share {self.share}; they must be positive, share at most 1.")


DEVICES = {
    device.name: device
    for device in (
        Device("h100", 989, 80),
        Device("h200", 989, 141),
        Device("a100", 312, 80),
        Device("l40s", 362, 48),
        Device("rtx4090", 165, 24),
        Device("rtx5090", 210, 32),
    )
}
"""Peaks as the makers publish them, without sparsity."""


@dataclass(frozen=True)
class RunSize:
    """Settings of a run that decide its memory and time.

    Attributes:
        model: Configuration of the network.
        shape: Size of a clip.
        stage: Stage of the paper: 1 audio branch, 2 both branches, 3 the five tasks (the longest sequence is taken).
        batch: Examples in a step, over all devices.
        devices: Number of devices.
        accumulation: Parts that a device computes in turn before a step.
        half: Whether matrix products run in bfloat16; weights are float32 all the same.
        sharded: Whether weights, gradients and the optimiser's state are spread over the devices (FSDP2).
        recomputed: Whether activations are computed again instead of kept (gradient checkpointing).
        averaged: Whether an average of the weights is kept (EMA).
        muon: Whether the blocks' matrices are trained by Muon and not by AdamW.
        lora: Adapters that are trained in place of the weights; None for the weights.
        distillation: Method and passes of a student, which is trained beside its teacher; None for none.
        learns_guidance: Whether guidance is learned, which takes one more pass, without gradients.
        steps: Length of the run; 0 if it is not known.
        backend: Source of layers and attention.

    Raises:
        ValueError: If the batch does not divide among devices and parts, or there is no such stage.
    """

    model: ModelConfig = RELEASED
    shape: AVShape = field(default_factory=lambda: AVShape(736, 736, 81))
    stage: int = 2
    batch: int = 32
    devices: int = 1
    accumulation: int = 1
    half: bool = True
    sharded: bool = False
    recomputed: bool = False
    averaged: bool = True
    muon: bool = False
    lora: LoraPlan | None = None
    distillation: DistillConfig | None = None
    learns_guidance: bool = False
    steps: int = 0
    backend: Backend = COUNTED

    def __post_init__(self) -> None:
        if self.stage not in (1, 2, 3):
            raise ValueError(f"There is no stage {self.stage}; it is 1, 2 or 3.")
        parts = self.devices * self.accumulation
        if parts < 1 or self.batch < 1 or self.batch % parts:
            raise ValueError(
                f"A batch of {self.batch} does not divide among {self.devices} devices with {self.accumulation} "
                "parts each."
            )

    @property
    def at_once(self) -> int:
        """Number of examples that a device computes at once."""
        return self.batch // (self.devices * self.accumulation)


@dataclass(frozen=True)
class Estimate:
    """Memory of one device in bytes, and arithmetic and time of one step.

    Attributes:
        weights: Weights, trained and frozen.
        gradients: Their gradients.
        optimizer: State of the optimiser.
        average: Averaged weights.
        exchange: Communication buffers: gradient buckets, or layers gathered from shards.
        copies: Weights in bfloat16 for matrix products.
        activations: Activations kept for the backward pass.
        trained: Number of trained weights.
        operations: Floating point operations of one step, on all devices.
        recomputing: Part of them that is recomputation.
        without_gradient: Part of them of passes without gradients: a teacher's, a student's own samples.
        tokens: Video and audio tokens of one step.
        seconds: Time of one step at the device's assumed speed; None for an unknown device.
        device: The device; None if it is unknown.
        steps: Length of the run; 0 if it is not known.
    """

    weights: float
    gradients: float
    optimizer: float
    average: float
    exchange: float
    copies: float
    activations: float
    trained: int
    operations: float
    recomputing: float
    tokens: int
    seconds: float | None = None
    device: Device | None = None
    without_gradient: float = 0.0
    steps: int = 0

    @property
    def memory(self) -> dict[str, float]:
        """Every part of the memory, by name."""
        names = ("weights", "gradients", "optimizer", "average", "exchange", "copies", "activations")
        return {name: getattr(self, name) for name in names}

    @property
    def total(self) -> float:
        """Upper bound of one device's memory in bytes; not all parts are in memory at the same time."""
        return sum(self.memory.values())

    @property
    def days(self) -> float:
        """Days of the whole run; 0 if its length or the device is unknown."""
        return self.steps * (self.seconds or 0.0) / SECONDS_OF_A_DAY

    @property
    def fits(self) -> bool | None:
        """True if the run fits, with a tenth of the memory left for what is not counted; None for an unknown device."""
        return None if self.device is None else self.total <= 0.9 * GIGA * self.device.memory


def estimate(run: RunSize, device: Device | None = None) -> Estimate:
    """Estimate memory and time of a run.

    Args:
        run: The run.
        device: The device it runs on; None if it is unknown.

    Raises:
        ImportError: If adapters are to be trained and peft is not installed.
    """
    traced = trace(run.model, _inputs(run), _prepare(run), run.half, run.backend)
    whole, shards = traced.whole, run.devices if run.sharded else 1
    copies, activations = _kept(run, traced)
    again = traced.layers.forward if run.recomputed else 0
    parts = run.devices * run.accumulation
    passes = run.learns_guidance if run.distillation is None else run.distillation.passes_without_gradient
    more = passes * whole.forward
    operations = (whole.forward + whole.backward + again + more) * parts
    seconds = None if device is None else operations / (run.devices * TERA * device.peak * device.share)
    return Estimate(
        weights=(FLOAT * whole.trained + whole.frozen) / shards,
        gradients=FLOAT * whole.trained / shards,
        optimizer=(ADAM * whole.trained - (ADAM - MUON) * whole.muon * run.muon) / shards,
        average=FLOAT * whole.trained * run.averaged / shards,
        exchange=_exchange_buffers(run, traced),
        copies=copies,
        activations=activations,
        trained=round(whole.trained),
        operations=operations,
        recomputing=again * parts,
        tokens=_tokens(run),
        seconds=seconds,
        device=device,
        without_gradient=more * parts,
        steps=run.steps,
    )


def _kept(run: RunSize, traced: DeepTrace) -> tuple[float, float]:
    """Bytes of bfloat16 copies of weights and of activations that one pass keeps."""
    whole, layers, layer = traced.whole, traced.layers, traced.layer
    if not run.recomputed:
        return whole.copies, whole.kept
    around = whole.kept - layers.kept
    # Whole networks keep their copies to the end of the forward pass, sharded ones only where they are used.
    copies = whole.copies - layers.copies + layer.copies if run.sharded else whole.copies
    return copies, around + whole.streams + layer.kept


def _exchange_buffers(run: RunSize, traced: DeepTrace) -> float:
    """Bytes of communication buffers."""
    if run.devices == 1:
        return 0.0
    if not run.sharded:
        return FLOAT * traced.whole.trained
    layer, around = traced.layer, traced.whole.plus(traced.layers, -1)
    gathered = max(UNITS_GATHERED * (FLOAT * layer.trained + layer.frozen), FLOAT * around.trained + around.frozen)
    return gathered + FLOAT * max(layer.trained, around.trained)


def _inputs(run: RunSize) -> Inputs:
    latent, size = run.shape.video[2:], run.model.patch_size
    if run.stage == 1:
        return Inputs(run.at_once, (1, size, size), run.shape.mel_frames, image=False, interaction=Interaction.OFF)
    return Inputs(run.at_once, latent, run.shape.mel_frames, voice_frames=VOICE_FRAMES if run.stage == 3 else 0)


def _tokens(run: RunSize) -> int:
    inputs = _inputs(run)
    latents, rows, columns = inputs.video
    video = (latents + inputs.image) * rows * columns // run.model.patch_size**2
    return run.batch * (video + inputs.mel_frames + inputs.voice_frames)


def _prepare(run: RunSize) -> Callable[[JointModel], None] | None:
    """Choose the function that leaves only the run's trained weights in training; None where all weights are."""
    if run.lora is not None:
        names = (ADAPTER,) if run.distillation is None else run.distillation.adapters
        return partial(add_lora, plan=run.lora, names=names)
    return _train_audio_branch if run.stage == 1 else None


def _train_audio_branch(model: JointModel) -> None:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(AUDIO_BRANCH))


def table(estimated: Estimate) -> str:
    """Format the estimate as lines of text."""
    lines = [f"{'memory of one device':28}{'GB':>10}"]
    lines += [f"  {name:26}{size / GIGA:10.2f}" for name, size in estimated.memory.items() if size]
    device = estimated.device
    room = "" if device is None else f"  of {device.memory:g} ({device.name}{'' if estimated.fits else ': too much'})"
    lines.append(f"  {'at most, in all':26}{estimated.total / GIGA:10.2f}{room}")
    lines.append(f"{'trained weights':28}{estimated.trained:10,}")
    lines.append(f"{'tokens of a step':28}{estimated.tokens:10,}")
    again = f"  {estimated.recomputing / estimated.operations:.0%} of it recomputed" if estimated.recomputing else ""
    beside = estimated.without_gradient / estimated.operations
    again += f"  {beside:.0%} of it without gradients" if beside else ""
    lines.append(f"{'teraflop of a step':28}{estimated.operations / TERA:10,.2f}{again}")
    if estimated.seconds is not None and device is not None:
        lines.append(
            f"{'seconds of a step':28}{estimated.seconds:10.2f}  at {device.share:.0%} of {device.peak:g} teraflop/s"
        )
        if estimated.steps:
            lines.append(f"{'days of the run':28}{estimated.days:10.2f}  of {estimated.steps:,} steps")
    return "\n".join(lines)
