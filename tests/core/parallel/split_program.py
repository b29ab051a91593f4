"""Processes that run a split network: ``python -m tests.core.parallel.split_program FOLDER NUMBER...``.

Every process also runs the whole network alone. For each number of processes a file says, of each of them, how far the
two results are apart in every case, what bytes it sent and the roofline counts, and what was refused.
A program, because forking from within pytest would copy its threads.
"""

import json
import os
import socket
import sys
from dataclasses import replace
from math import prod
from multiprocessing import get_all_start_methods
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.multiprocessing.spawn import start_processes

from benchmarks.flops import Pass
from benchmarks.traffic import Traffic
from tests.parity.fixtures import relative_error
from tests.toys import TINY, Clip, random_model, with_variant
from uniavgen_core.bundled.bundled_files import ASSETS
from uniavgen_core.config import Alignment, BranchConfig, GuidanceConfig, Interaction
from uniavgen_core.model.face_mask import FaceSteering
from uniavgen_core.parallel.__main__ import parse, sample_clip
from uniavgen_core.parallel.sequence_group import SequenceGroup
from uniavgen_core.parallel.sequence_shares import plan_sequences
from uniavgen_core.parallel.split_model import SplitJointModel
from uniavgen_core.pipeline import KeptLatents, SampleConfig, sample
from uniavgen_core.tasks import PAPER_TASKS, RELIP, Keep

CONFIG = replace(TINY, video=BranchConfig(72, 96, 6), audio=BranchConfig(40, 48, 5), num_layers=2, num_interactions=1)
"""Neither number of heads is a multiple of four, nor that of audio of two."""
LATENTS, FRAMES, SIZE = 7, 59, (4, 6)
STEP = SampleConfig(1, guidance=GuidanceConfig(skip_layer=1))


def clip_of(**options):
    return Clip(
        **{"latents": LATENTS, "tokens": FRAMES, "size": SIZE, "config": CONFIG, "dtype": torch.float32} | options
    )


def region():
    """Latent pixels that are kept: all but two tokens of the later latents."""
    mask = torch.ones(1, LATENTS, *SIZE, dtype=torch.bool)
    mask[:, 2:, :2, 2:] = False
    return mask


def with_region(clip):
    clip.inputs |= {"timesteps": (700.0 * ~region(), clip.times[1]), "keep_masks": (region(), None)}
    return clip


def with_speakers(clip):
    """Two tracks a clip, each with a part of the picture as its own."""
    tracks = clip_of(batch=2, seed=5)
    mask = torch.rand(1, 2, LATENTS, *SIZE, generator=torch.Generator().manual_seed(3))
    fields = {name: getattr(tracks.conditions, name) for name in ("speech_ids", "speech_lengths")}
    clip.conditions = replace(clip.conditions, **fields, steering=FaceSteering(mask, strength=0.7))
    clip.inputs |= {"audio": tracks.audio, "timesteps": (clip.times[0], tracks.times[1])}
    return clip


PASSES = {
    "plain": clip_of(),
    "without a reference image": clip_of(image=False),
    "a batch of clips with voices": clip_of(batch=2, voice=11, skip_layer=1),
    "another number of latents": clip_of(latents=5, tokens=26),
    "kept latents and mel frames": clip_of(
        kept=(torch.arange(LATENTS)[None] < 2, torch.arange(FRAMES)[None] < 20),
    ),
    "a region of the picture": with_region(clip_of()),
    "two speakers": with_speakers(clip_of()),
    "without interaction": clip_of(interaction=Interaction.OFF, skip_layer=1),
    "the paper's variant": clip_of(config=with_variant(CONFIG, ramp_over_latent=True, doubled_tail=False)),
    "same time spans": clip_of(
        config=with_variant(CONFIG, a2v_alignment=Alignment.TEMPORAL, v2a_alignment=Alignment.TEMPORAL)
    ),
    "the whole clip": clip_of(
        config=with_variant(CONFIG, a2v_alignment=Alignment.GLOBAL, v2a_alignment=Alignment.GLOBAL)
    ),
}  # fmt: skip
PORTRAIT = ASSETS / "portraits" / "toon_1_calm.png"
COUNTED = ("plain", "without a reference image", "without interaction")
"""Passes whose bytes are compared with those of the roofline, which has one clip of one speaker."""


def kept_of(task, clip):
    """The parts of a clip that a task keeps."""
    masks = {
        Keep.NOTHING: lambda steps: torch.zeros(1, steps, dtype=torch.bool),
        Keep.FIRST: lambda steps: torch.arange(steps)[None] < 1,
        Keep.START: lambda steps: torch.arange(steps)[None] < steps // 3,
        Keep.ALL: lambda steps: torch.ones(1, steps, dtype=torch.bool),
        Keep.AROUND: lambda _: region(),
    }
    return KeptLatents(clip.video, clip.audio, masks[task.video](LATENTS), masks[task.audio](FRAMES))


def sample_task(task, model):
    """Sample a task in one step, with guidance."""
    clip = clip_of(voice=10 if task.reference_voice else 0, interaction=task.interaction)
    null = replace(clip.conditions, caption=torch.zeros_like(clip.conditions.caption))
    noise = clip_of(seed=9)
    return sample(model, clip.conditions, null, kept_of(task, clip), (noise.video, noise.audio), STEP)


def run_pass(clip, model):
    output = clip.run(model)
    return output.video, output.audio, output.face_masks


def cases():
    """Functions from a network to tensors, with the network's configuration, by name."""
    passes = {name: (clip.config, lambda model, clip=clip: run_pass(clip, model)) for name, clip in PASSES.items()}
    tasks = {task.name: (CONFIG, lambda model, task=task: sample_task(task, model)) for task in (*PAPER_TASKS, RELIP)}
    return passes | tasks


class CountingGroup(SequenceGroup):
    """Adds up the bytes that this process hands to the collective."""

    sent = 0

    def all_to_all(self, outgoing, received, sent):
        self.sent += outgoing.nbytes
        return super().all_to_all(outgoing, received, sent)


def counted_bytes(clip, group):
    """Bytes of a pass as the roofline counts them."""
    conditions = clip.conditions
    plan = plan_sequences(CONFIG, LATENTS, FRAMES, (int(clip.image), 0), group.size)
    traffic = Traffic(CONFIG, plan, group.rank, prod(SIZE) // CONFIG.patch_size**2, itemsize=4)
    return traffic.whole_pass(Pass(conditions.interaction, conditions.skip_layer))


def refusal(run):
    """The message with which something is refused."""
    try:
        run()
    except (ValueError, RuntimeError) as error:
        return str(error)
    return ""


@torch.no_grad()
def report(group):
    """Results of this process."""
    distances, sent = {}, {}
    for name, (config, run) in cases().items():
        model, before = random_model(config, dtype=torch.float32), group.sent
        pairs = list(zip(run(SplitJointModel.of(model, group)), run(model), strict=True))
        sent[name] = group.sent - before
        distances[name] = max(relative_error(got, want) for got, want in pairs)
    script, cpu = parse([str(PORTRAIT), "hello moon", "--seconds", "1"]), torch.device("cpu")
    pairs = zip(sample_clip(script, cpu, group), sample_clip(script, cpu, None), strict=True)
    distances["script"] = max(relative_error(got, want) for got, want in pairs)
    counted = {name: counted_bytes(PASSES[name], group) for name in COUNTED}
    model = random_model(CONFIG, dtype=torch.float32)
    few_heads = replace(CONFIG, audio=BranchConfig(16, 24, 1))
    short = clip_of(latents=group.size - 1)
    refusals = {
        "heads": refusal(lambda: SplitJointModel(few_heads, group)),
        "latents": refusal(lambda: short.run(SplitJointModel.of(model, group))),
    }
    with torch.enable_grad():
        refusals["gradients"] = refusal(lambda: clip_of().run(SplitJointModel.of(model, group)))
    return {"distances": distances, "sent": sent, "counted": counted, "refusals": refusals}


def run_process(rank, processes, port, file):
    """Be one of the processes; the first one writes what all of them report."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    torch.set_num_threads(1)
    group = CountingGroup(init_device_mesh("cpu", (processes,), mesh_dim_names=("sequence",)))
    everyone = [None] * processes
    dist.all_gather_object(everyone, report(group))
    if rank == 0:
        file.write_text(json.dumps(everyone), encoding="utf-8")
    dist.destroy_process_group()


def main(processes, file):
    """Run the processes. They are forked where that is possible, because importing torch takes longer than the work."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    method = "fork" if "fork" in get_all_start_methods() else "spawn"
    start_processes(run_process, args=(processes, port, file), nprocs=processes, start_method=method)


if __name__ == "__main__":
    for number in sys.argv[2:]:
        main(int(number), Path(sys.argv[1]) / f"{number}.json")
