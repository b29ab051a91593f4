"""The estimate of a run's memory and time, held against runs that take place."""

import gc
import json
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.flops import Pass, pass_flops_by_parts
from uniavgen_core.config import RELEASED, TOON, BranchConfig
from uniavgen_core.model.alignment import audio_windows, context_groups
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import Conditions, JointModel
from uniavgen_core.shapes import AVShape
from uniavgen_core.training import estimate as module
from uniavgen_core.training.cli import estimate_command as command
from uniavgen_core.training.estimate import AUDIO_BRANCH, DEVICES, Device, RunSize, table
from uniavgen_core.training.gradient_checkpointing import RecomputedModel
from uniavgen_core.training.lora import LoraBranch, LoraPlan, add_lora
from uniavgen_core.training.memory_trace import Inputs, trace
from uniavgen_core.training.optimizer import OptimizerConfig, make_optimizers

SMALL = replace(TOON, video=BranchConfig(96, 384, 4), audio=BranchConfig(64, 256, 4), num_layers=4, num_interactions=2)
SHAPE = AVShape(96, 96, 17)
RUN = RunSize(SMALL, SHAPE, batch=6, half=False, averaged=False)

estimate = cache(module.estimate)


@pytest.fixture(scope="module", autouse=True)
def traces_kept():
    """Every pass is traced once, whatever is estimated of it."""
    found = {}

    def traced(config, inputs, prepare, half, backend):
        key = (config, inputs, repr(prepare), half, backend)
        if key not in found:
            found[key] = trace(config, inputs, prepare, half, backend)
        return found[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "trace", traced)
        yield


class Real:
    """One step that takes place, and the memory it takes."""

    def __init__(self, run):
        torch.manual_seed(0)
        self.run = run
        self.model = (RecomputedModel if run.recomputed else JointModel)(run.model)
        initialize(self.model)
        if run.lora:
            add_lora(self.model, run.lora)
        elif run.stage == 1:
            for name, parameter in self.model.named_parameters():
                parameter.requires_grad_(name.startswith(AUDIO_BRANCH))
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        muon = make_optimizers(self.model, OptimizerConfig()) if run.muon else None
        self.optimizers = muon or [torch.optim.AdamW(trained)]

    def loss(self):
        count, latent, mel = self.run.batch, self.run.shape.video[2:], self.run.shape.mel_frames
        text = self.run.model.text
        video, audio = torch.randn(count, 48, *latent), torch.randn(count, mel, 80)
        caption = torch.zeros(count, text.caption_length, text.caption_dim)
        conditions = Conditions(
            caption, torch.zeros(count, 80, dtype=torch.long), torch.full((count,), 80), reference_image=video[:, :, :1]
        )
        times = torch.zeros(count, latent[0]), torch.zeros(count, mel)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.run.half):
            output = self.model(video, audio, times, conditions, tuple(time.bool() for time in times))
            terms = (output.video, output.audio, output.face_masks)
            return sum(one.float().square().mean() for one in terms)

    def step(self):
        self.loss().backward()
        for optimizer in self.optimizers:
            optimizer.step()

    def state(self):
        """Bytes of gradients, and of what the optimisers keep but their counts."""
        gradients = sum(p.grad.nbytes for p in self.model.parameters() if p.grad is not None)
        states = [state for optimizer in self.optimizers for state in optimizer.state.values()]
        return gradients, sum(value.nbytes for state in states for value in state.values() if value.ndim)

    def allocated(self, backward=False):
        """Bytes the allocator gave out and has not taken back when the forward pass ends, or at most in both passes."""
        self.loss()  # what is made once, such as tables of kernels, is there
        gc.collect()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            loss = self.loss()
            if backward:
                loss.backward()
        tree = profiler.profiler.kineto_results.experimental_event_tree()
        changes, events = [], list(tree)
        while events:
            event = events.pop()
            events += event.children
            if event.typed[0] == torch._C._profiler._EventType.Allocation:
                changes.append((event.start_time_ns, event.typed[1].alloc_size))
        level = peak = 0
        for _, size in sorted(changes, key=lambda change: change[0]):
            level += size
            peak = max(peak, level)
        return peak if backward else level


@pytest.mark.parametrize("muon", [False, True])
def test_weights_gradients_and_optimizer_are_those_of_a_step(muon):
    run = replace(RUN, muon=muon)
    real, guess = Real(run), estimate(run)
    real.step()
    gradients, states = real.state()
    unused = real.model.audio_padding.nbytes  # a weight of the release that no pass uses
    assert guess.weights == sum(parameter.nbytes for parameter in real.model.parameters())
    assert guess.gradients == gradients + unused
    assert states == pytest.approx(guess.optimizer, rel=0.01)


@pytest.mark.parametrize(("half", "interactions"), [(False, 2), (True, 0), (True, 1), (True, 2)])
def test_activations_are_what_a_forward_pass_keeps(half, interactions):
    run = replace(RUN, half=half, model=replace(SMALL, num_interactions=interactions))
    guess = estimate(run)
    assert guess.activations + guess.copies == pytest.approx(Real(run).allocated(), rel=0.01)


def test_recomputed_activations_are_within_a_tenth_of_the_most_a_step_takes():
    run = replace(RUN, recomputed=True, batch=24)
    kept, guess = Real(replace(run, recomputed=False)).allocated(backward=True), estimate(run)
    most = Real(run).allocated(backward=True)
    assert most < 0.6 * kept
    assert guess.activations + guess.gradients == pytest.approx(most, rel=0.1)


@pytest.mark.parametrize("branch", [LoraBranch.VIDEO, LoraBranch.BOTH])
def test_adapters_take_the_memory_of_a_step_with_adapters(branch):
    run = replace(RUN, lora=LoraPlan(branch, interactions=True, rank=4))
    real, guess = Real(run), estimate(run)
    real.step()
    gradients, states = real.state()
    assert guess.trained == sum(p.numel() for p in real.model.parameters() if p.requires_grad)
    assert (guess.gradients, guess.optimizer) == (gradients, states)
    assert guess.weights == sum(parameter.nbytes for parameter in real.model.parameters())
    assert guess.activations == pytest.approx(Real(run).allocated(), rel=0.1)


def test_operations_are_counted_as_in_a_pass_that_takes_place_and_recomputing_adds_the_layers():
    plain, again = estimate(RUN), estimate(replace(RUN, recomputed=True))
    clip = pass_flops_by_parts(SMALL, SHAPE, Pass(), device="meta") * RUN.batch
    traced = trace(SMALL, Inputs(RUN.batch, SHAPE.video[2:], SHAPE.mel_frames), lambda _: None, half=False)
    assert traced.whole.forward == pytest.approx(clip, rel=1e-3)
    assert plain.operations == traced.whole.forward + traced.whole.backward
    assert again.operations - plain.operations == again.recomputing == traced.layers.forward
    assert 0.8 * clip < again.recomputing < clip
    with FlopCounterMode(display=False) as counter:
        Real(RUN).loss().backward()
    products = sum(count for name, count in counter.get_flop_counts()["Global"].items() if "flash" not in str(name))
    fused = 3.5 * 4 * RUN.batch * sum(pairs * dim for pairs, dim in attended_pairs())
    assert plain.operations == pytest.approx(products + fused, rel=0.02)


def attended_pairs():
    """Pairs of query and key of every attention of one clip, and the attention's width; a CPU's are not counted."""
    latents, video, audio = SHAPE.latent_frames, (SHAPE.latent_frames + 1) * 36, SHAPE.mel_frames
    for branch, tokens, text in ((SMALL.video, video, SMALL.text.caption_length), (SMALL.audio, audio, 80)):
        yield SMALL.num_layers * tokens * (tokens + text), branch.dim
    windows = len(audio_windows(audio, latents, SMALL.variant).index[0])
    yield SMALL.num_interactions * latents * 36 * windows, SMALL.video.dim
    slots = [len(tokens) for _, tokens in context_groups(audio, latents, SMALL.variant)]
    yield SMALL.num_interactions * sum(slots) * 36, SMALL.audio.dim


def test_the_released_network_has_its_parameters_and_arithmetic():
    run = RunSize(RELEASED, AVShape(736, 736, 81), batch=1, half=False, recomputed=True)
    guess = estimate(run, DEVICES["h100"])
    assert guess.trained == 7_056_424_223
    assert guess.weights == 4 * guess.trained
    assert guess.recomputing == pytest.approx(pass_flops_by_parts(RELEASED, run.shape, Pass()), rel=0.01)
    assert guess.fits is False
    assert "too much" in table(guess)


def test_what_is_sharded_is_divided_and_what_is_divided_by_parts_shrinks():
    whole = estimate(replace(RUN, devices=2, batch=8))
    shards = estimate(replace(RUN, devices=2, batch=8, sharded=True))
    for name in ("weights", "gradients", "optimizer"):
        assert getattr(shards, name) == getattr(whole, name) / 2, name
    assert shards.activations == whole.activations
    assert whole.exchange == whole.gradients
    parts = estimate(replace(RUN, devices=2, batch=8, accumulation=4))
    assert parts.activations == pytest.approx(whole.activations / 4, rel=0.05)
    assert parts.operations == pytest.approx(whole.operations, rel=1e-3)


def test_the_first_stage_trains_the_audio_branch_alone():
    guess, model = estimate(replace(RUN, stage=1)), JointModel(SMALL)
    audio = [p.numel() for name, p in model.named_parameters() if name.startswith(AUDIO_BRANCH)]
    assert guess.trained == sum(audio)
    assert guess.weights == 4 * sum(p.numel() for p in model.parameters())
    assert guess.operations < 0.5 * estimate(RUN).operations


def test_the_time_is_the_arithmetic_over_the_speed():
    slow, fast = (estimate(RUN, Device("x", 2, 1, share)) for share in (0.1, 0.5))
    assert slow.seconds == pytest.approx(slow.operations / 2e11)
    assert slow.seconds == pytest.approx(5 * fast.seconds)
    assert estimate(RUN).seconds is None


def test_the_command_prints_a_table_and_json(capsys):
    arguments = (
        "--model toon --size 64x64 --frames 9 --batch 8 --devices 2 --precision no --fsdp --checkpointing --json"
    )
    assert command.main(arguments.split()) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    said = json.loads(lines[-1])
    run = RunSize(TOON, AVShape(64, 64, 9), batch=8, devices=2, half=False, sharded=True, recomputed=True)
    want = estimate(run, DEVICES["h100"])
    assert said["total"] == want.total
    assert said["seconds"] == want.seconds
    assert any(f"{want.total / 1e9:.2f}" in line for line in lines[:-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--size 736", "width x height"),
        ("--size 730x736", "width is 730"),
        ("--batch 33", "batch of 33 does not divide among 8 devices"),
        ("--model nowhere.safetensors", "no file"),
        ("--mfu 3", "share 3.0"),
    ],
)
def test_a_size_that_cannot_be_is_refused(capsys, arguments, message):
    assert command.main(arguments.split()) == 2
    assert message in capsys.readouterr().err


def test_a_run_fits_a_device_only_with_a_tenth_of_its_memory_to_spare():
    giga = estimate(RUN).total / 1e9
    fits = [estimate(RUN, Device("some", 100, giga / share)).fits for share in (0.89, 0.91)]
    assert fits == [True, False]
