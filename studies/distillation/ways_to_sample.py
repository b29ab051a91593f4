"""Ways to sample held-out toons, by the teacher or a student, with finished batches kept on disk, and their time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from toon.evaluation.bundle_report import codec_beside
from toon.evaluation.cases import Case
from toon.evaluation.generate_cases import BATCH, Made, Store, decode, set_up, with_kept
from uniavgen_core.atomic_write import atomic_write
from uniavgen_core.bundled.bundled_files import load_codec
from uniavgen_core.bundled.video_codec import VideoCodec
from uniavgen_core.checkpoint.load_weights import load_model
from uniavgen_core.config import GuidanceConfig
from uniavgen_core.diffusion.guidance import GuidancePlan
from uniavgen_core.diffusion.sampler import Latents, sample_lcm
from uniavgen_core.diffusion.sampling_presets import NO_GUIDANCE
from uniavgen_core.diffusion.schedule import release_sigmas, simple_sigmas
from uniavgen_core.model.joint import JointModel
from uniavgen_core.pipeline import SampleConfig
from uniavgen_core.pipeline import generate as follow_the_flow
from uniavgen_core.training.distill.distill_config import TEACHER_STEPS
from uniavgen_core.training.lora import merge_lora

from .students import Student

_AGAIN = 1_000_003
"""First seed of the noise between steps; the noise that a run starts from has a case's number."""


@dataclass(frozen=True)
class Way:
    """A way to sample.

    Attributes:
        name: Name in tables and on disk.
        sigmas: Noise levels, falling from 1 to 0.
        guidance: Guidance.
        sampler: ``euler``, or ``lcm`` for new noise at each level.
        lora: Adapters of a student; None for the teacher.
    """

    name: str
    sigmas: tuple[float, ...]
    guidance: GuidanceConfig = NO_GUIDANCE
    sampler: str = "euler"
    lora: Path | None = None

    @property
    def passes(self) -> int:
        """Passes of the network for one clip."""
        plan = GuidancePlan.of(self.guidance, torch.tensor(self.sigmas))
        return (len(self.sigmas) - 1) * (2 if plan.guides else 1)

    @classmethod
    def of_teacher(cls, guidance: GuidanceConfig) -> "Way":
        """The teacher's own: the release's 50 steps, guided where its scales say so."""
        sigmas = release_sigmas(TEACHER_STEPS)
        guided = ", guided" if GuidancePlan.of(guidance, sigmas).guides else ""
        return cls(f"teacher {TEACHER_STEPS}{guided}", tuple(sigmas.tolist()), guidance)

    @classmethod
    def of_few_passes(cls, passes: int) -> "Way":
        """The teacher in as few passes as a student, at the same noise levels and without guidance."""
        return cls(f"teacher {passes}", tuple(simple_sigmas(passes).tolist()))

    @classmethod
    def of_student(cls, student: Student) -> "Way":
        """A student's own."""
        config = student.config
        return cls(student.name, tuple(config.sigmas.tolist()), sampler=config.sampler, lora=student.lora)


class Studio:
    """A bundled model and its codec, sampling in one way at a time.

    Args:
        model: File of the teacher.
        folder: Where finished batches are kept.
        seed: Seed of the held-out toons.
    """

    def __init__(self, model: Path, folder: Path, seed: int) -> None:
        self.model = model
        self.folder = folder
        self.seed = seed
        self.codec: VideoCodec = load_codec(codec_beside(model))

    def network(self, way: Way) -> JointModel:
        """The teacher, or with a student's adapters the student."""
        network = load_model(self.model, dtype=torch.float32)
        if way.lora is not None:
            merge_lora(network, way.lora)
        return network

    def made(self, way: Way, cases: dict[str, list[Case]], tell: Callable[[str], None]) -> dict[str, list[Made]]:
        """Generate cases by task; batches that are on disk are read from it."""
        weights = [self.model, codec_beside(self.model), *([] if way.lora is None else [way.lora])]
        store = Store.of(self.folder, weights, SampleConfig(len(way.sigmas) - 1, guidance=way.guidance), self.seed)
        network, made = self.network(way), dict[str, list[Made]]()
        for task, wanted in cases.items():
            tell(f"{way.name}: {len(wanted)} clips of {task}")
            made[task] = []
            for first in range(0, len(wanted), BATCH):
                part = wanted[first : first + BATCH]
                path = store.path(f"{way.name} {task}", first, len(part))
                if not path.exists():
                    keep(path, sampled(network, self.codec, part, way, first))
                latents = load_file(path)
                made[task] += map(with_kept, decode(self.codec, latents["video"], latents["audio"]), part)
        return made

    def seconds(self, way: Way, case: Case, repeats: int) -> float:
        """Seconds of sampling one clip, without its decoding; the median of some repeats after a first one."""
        network, found = self.network(way), []
        for _ in range(1 + repeats):
            started = time.perf_counter()
            sampled(network, self.codec, [case], way)
            found.append(time.perf_counter() - started)
        return median(found[1:])


def sampled(network: JointModel, codec: VideoCodec, cases: Sequence[Case], way: Way, first: int = 0) -> Latents:
    """Sample one batch of a task; ``first`` is the number of its first case, from which noise is drawn."""
    sigmas = torch.tensor(way.sigmas)
    denoiser, noise = set_up(network, codec, cases, GuidancePlan.of(way.guidance, sigmas), first)
    if way.sampler == "euler":
        return follow_the_flow(denoiser, noise, sigmas)
    generators = [torch.Generator().manual_seed(_AGAIN + first + number) for number in range(len(cases))]

    def draw(like: Tensor) -> Tensor:
        return torch.stack([torch.randn(like.shape[1:], generator=generator) for generator in generators])

    with torch.no_grad():
        result = sample_lcm(denoiser, noise, sigmas, lambda: tuple(map(draw, noise)))
    return denoiser.kept.write_into(result)


def keep(path: Path, latents: Latents) -> None:
    """Write a batch in one move."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        save_file({name: x.contiguous() for name, x in zip(("video", "audio"), latents, strict=True)}, partial)
