"""Steps of the second stage of training at the released widths, on one synthetic clip, from random weights.

On an accelerator the whole network is trained, in bfloat16 with its optimiser's state, so that one card of 80 GB holds
it. Without one, layers and clip are cut down so that a CPU and ordinary memory do, in float32; what the whole would
need is then computed. There both clocks are read: that of the wall, and that of the process, which other work on the
machine does not slow. Layers are recomputed (gradient checkpointing) in both. The speed is set against a large product
of matrices in the same call.
"""

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import Tensor

from uniavgen_core.config import RELEASED, ModelConfig
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import Conditions
from uniavgen_core.shapes import AVShape
from uniavgen_core.training.estimate import DEVICES, Estimate, RunSize, estimate
from uniavgen_core.training.flow_matching import Batch, CleanClips, LossWeights, flow_matching_losses
from uniavgen_core.training.gradient_checkpointing import RecomputedModel

from .flops import CHARACTERS, TERA

GIGA = 1e9
RATE, DECAY, CLIP, SHIFT, MASK_WEIGHT = 5e-6, 0.01, 1.0, 5.0, 0.1
"""Of the paper's second stage; what it does not tell as the trainer has it."""
PEAK_SECONDS = 2.0
COMPUTED_SIZE = AVShape(736, 736, 81)


@dataclass(frozen=True)
class TrainSize:
    """Part of a network that is trained, every second layer with interaction, and the clip of a step."""

    layers: int
    shape: AVShape
    steps: int = 20
    dtype: torch.dtype = torch.float32
    network: ModelConfig = RELEASED

    @property
    def run(self) -> RunSize:
        """The same for the estimate of memory and arithmetic."""
        config = replace(self.network, num_layers=self.layers, num_interactions=(self.layers + 1) // 2)
        return RunSize(config, self.shape, batch=1, half=False, recomputed=True, averaged=False)


WHOLE = TrainSize(RELEASED.num_layers, COMPUTED_SIZE, dtype=torch.bfloat16)
CUT = TrainSize(2, AVShape(128, 128, 17))


def add_options(parser: ArgumentParser) -> None:
    """Add what can be chosen; by default what the device can hold."""
    parser.add_argument("--steps", type=int, default=CUT.steps, help="number of steps")
    parser.add_argument("--layers", type=int, help="layers of both branches, of 30")
    parser.add_argument("--side", type=int, help="side of the square picture, pixels, a multiple of 32 ")
    parser.add_argument("--frames", type=int, help="video frames of a clip, 4n + 1")


def size_of(options: Namespace, device: torch.device) -> TrainSize:
    """Size of the training: as chosen, and else what the device can hold."""
    size = WHOLE if device.type == "cuda" else CUT
    shape = replace(
        size.shape,
        width=options.side or size.shape.width,
        height=options.side or size.shape.height,
        video_frames=options.frames or size.shape.video_frames,
    )
    return replace(size, steps=options.steps, layers=options.layers or size.layers, shape=shape)


def measure(options: Namespace) -> dict:
    """Train, and give what was measured, with what the whole network at full size would need as computed."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return measure_size(size_of(options, device), device) | {"computed": computed()}


def measure_size(size: TrainSize, device: torch.device) -> dict:
    """Train a network of a size on a device, and give what was measured."""
    guess = estimate(size.run)
    peak = matrix_peak(size.dtype, device)
    log = train(size, guess.tokens, device)
    peak = max(peak, matrix_peak(size.dtype, device))
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads",
        "layers": size.layers,
        "interactions": size.run.model.num_interactions,
        "size": [size.shape.width, size.shape.height, size.shape.video_frames],
        "dtype": str(size.dtype).removeprefix("torch."),
        "parameters": guess.trained,
        "steps": len(log),
        **speed(log, guess, peak),
        "peak_memory_gb": round(peak_memory(device) / GIGA, 2),
        "estimated_memory_gb": round(guess.total * size.dtype.itemsize / 4 / GIGA, 2),
        "first_loss": log[0]["loss"],
        "last_loss": log[-1]["loss"],
        "log": log,
    }


def speed(log: list[dict], guess: Estimate, peak: float) -> dict:
    """Speed by the wall's clock, and by the process's where that was read; MFU leaves out what is recomputed."""

    def by(clock: str) -> tuple[float, float, float, float]:
        """Seconds of a step, teraflop a second, MFU, and the share with what is recomputed."""
        seconds = median(line[clock] for line in log)
        operations = guess.operations / seconds
        once = (guess.operations - guess.recomputing) / seconds
        return round(seconds, 3), round(operations / TERA, 4), round(once / peak, 4), round(operations / peak, 4)

    wall = ("step_seconds", "tflop_per_second", "mfu", "hardware_share")
    busy = ("step_cpu_seconds", "tflop_per_cpu_second", "mfu_of_cpu_time", "hardware_share_of_cpu_time")
    return {
        "tokens_per_step": guess.tokens,
        "tokens_per_second": round(guess.tokens / median(line["seconds"] for line in log), 2),
        "step_tflop": round(guess.operations / TERA, 4),
        "peak_tflop_per_second": round(peak / TERA, 4),
        **dict(zip(wall, by("seconds"), strict=True)),
        **(dict(zip(busy, by("cpu_seconds"), strict=True)) if "cpu_seconds" in log[0] else {}),
    }


def computed() -> dict:
    """Needs of the whole network at full size on eight cards with the paper's batch; computed, not measured."""
    card = DEVICES["h100"]
    run = RunSize(batch=32, devices=8, accumulation=4, sharded=True, recomputed=True, shape=COMPUTED_SIZE)
    guess = estimate(run, card)
    return {
        "of": f"released network, {COMPUTED_SIZE.width}x{COMPUTED_SIZE.height}, {COMPUTED_SIZE.video_frames} frames, "
        f"batch 32, on 8 {card.name} sharded, at an assumed {card.share:.0%} of {card.peak} teraflop/s",
        "parameters": guess.trained,
        "tokens_per_step": guess.tokens,
        "step_tflop": round(guess.operations / TERA, 1),
        "step_seconds": round(guess.seconds, 2),
        "tokens_per_second": round(guess.tokens / guess.seconds),
        "memory_gb_of_a_card": {name: round(part / GIGA, 2) for name, part in guess.memory.items()},
        "memory_gb_of_a_card_in_all": round(guess.total / GIGA, 2),
    }


def train(size: TrainSize, tokens: int, device: torch.device) -> list[dict]:
    """Take the steps, each of so many tokens; each is logged as a line of JSON on stderr when it is done."""
    torch.manual_seed(0)
    with default_dtype(size.dtype), device:
        model = RecomputedModel(size.run.model)
        initialize(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.999), weight_decay=DECAY, fused=True)
    log = []
    for step in range(size.steps):
        started, busy = time.perf_counter(), time.process_time()
        weights = LossWeights(mask=MASK_WEIGHT * (1 - step / size.steps))
        loss = flow_matching_losses(model, synthetic_batch(size, device), weights)["loss"]
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        line = {"step": step, "loss": round(loss.item(), 5), "norm": round(norm.item(), 4)}
        seconds = time.perf_counter() - started  # after the numbers were asked for, which waits for the device
        line |= {"seconds": round(seconds, 3), "tokens_per_second": round(tokens / seconds, 2)}
        if device.type == "cpu":
            line["cpu_seconds"] = round((time.process_time() - busy) / torch.get_num_threads(), 3)
        sys.stderr.write(json.dumps(line) + "\n")
        log.append(line)
    return log


def synthetic_batch(size: TrainSize, device: torch.device) -> Batch:
    """One synthetic clip with its noise, the same every time."""
    torch.manual_seed(1)
    shape, text, dtype = size.shape, size.run.model.text, size.dtype

    def draw(*sizes: int) -> Tensor:
        return torch.randn(*sizes, device=device, dtype=dtype)

    video, audio = draw(*shape.video), draw(1, shape.mel_frames, size.run.model.mel_bins)
    tokens = torch.rand(1, shape.latent_frames, shape.height // 32, shape.width // 32, device=device)
    face = tokens.repeat_interleave(2, -2).repeat_interleave(2, -1)
    sigma = torch.rand((), device=device)
    sigma = SHIFT * sigma / (1 + (SHIFT - 1) * sigma)
    keep = torch.arange(shape.latent_frames, device=device)[None] == 0
    video_noise, audio_noise = draw(*shape.video), draw(*audio.shape)
    conditions = Conditions(
        caption=draw(1, text.caption_length, text.caption_dim),
        speech_ids=torch.randint(text.vocabulary - 1, (1, CHARACTERS), device=device),
        speech_lengths=torch.full((1,), CHARACTERS, device=device),
        reference_image=video[:, :, :1],
    )
    nothing = torch.zeros(1, shape.mel_frames, dtype=torch.bool, device=device)
    clips = CleanClips(video, audio, keep, nothing, face, torch.zeros_like(face), conditions)
    return Batch(clips, sigma[None], video_noise, audio_noise)


def matrix_peak(dtype: torch.dtype, device: torch.device) -> float:
    """Operations per second of a large product of matrices: the best of several, on a CPU by the process's clock."""
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    side = 8192 if device.type == "cuda" else 2048
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best, until = 0.0, time.perf_counter() + PEAK_SECONDS
    while time.perf_counter() < until or not best:
        started = clock()
        float((left @ right)[0, 0])
        best = max(best, 2 * side**3 / max(clock() - started, 1e-9))
    return best


def peak_memory(device: torch.device) -> float:
    """Most bytes in use so far: of the device, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make new weights in this dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def table(results: dict) -> str:
    """Results as text: what was measured, and below it what was computed."""
    width, height, frames = results["size"]
    far = results["computed"]
    busy = []
    if "step_cpu_seconds" in results:
        share, done = results["mfu_of_cpu_time"], results["hardware_share_of_cpu_time"]
        busy = [f"{'  of CPU time':26}{share:14.1%}  {done:.1%}; {results['step_cpu_seconds']:.2f} s a step"]
    rows = [
        f"Training at released width on {results['device']}: {results['layers']} of {RELEASED.num_layers} layers, "
        f"{width}x{height}, {frames} frames, {results['dtype']}, {results['steps']} steps",
        f"{'parameters':26}{results['parameters']:14,}",
        f"{'seconds of a step':26}{results['step_seconds']:14.2f}",
        f"{'tokens/s':26}{results['tokens_per_second']:14.1f}",
        f"{'teraflop/s':26}{results['tflop_per_second']:14.4f}  of {results['peak_tflop_per_second']:.4f} of a product",
        f"{'MFU':26}{results['mfu']:14.1%}  {results['hardware_share']:.1%} with what is recomputed",
        *busy,
        f"{'peak memory, GB':26}{results['peak_memory_gb']:14.2f}  {results['estimated_memory_gb']:.2f} estimated",
        f"{'loss':26}{results['first_loss']:14.4f}  to {results['last_loss']:.4f}",
        f"computed: {far['of']}",
        f"{'seconds of a step':26}{far['step_seconds']:14.2f}",
        f"{'tokens/s':26}{far['tokens_per_second']:14,}",
        f"{'memory of a card, GB':26}{far['memory_gb_of_a_card_in_all']:14.2f}",
    ]
    return "\n".join(rows)
