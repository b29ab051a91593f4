"""Held-out toons generated with ComfyUI's samplers and schedules, and their distance to the exact flow.

ComfyUI's samplers run on the core's network and guidance, clip by clip; ``tests/nodes/test_sampling.py`` shows that the
core's own loop gives the same. Guidance switches its null pass at one noise level in all cells, so that all integrate
the same flow. Finished clips are kept on disk.

Dimension key: B clips, T video latents, S mel frames.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tools.pack import comfyui_arguments
from toon.evaluation.bundle_report import EVALUATION_SEED, WORLDS, codec_beside
from toon.evaluation.cases import Case, cases_of
from toon.evaluation.generate_cases import Made, Store, decode, set_up
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL, load_codec
from uniavgen_core.checkpoint.load_weights import load_model
from uniavgen_core.config import GuidanceConfig
from uniavgen_core.diffusion.guidance import GuidancePlan
from uniavgen_core.diffusion.sampler import Latents
from uniavgen_core.diffusion.schedule import release_sigmas, shift_sigma
from uniavgen_core.diffusion.step_cache import StepCache, StepCacheConfig
from uniavgen_core.model.joint import Conditions
from uniavgen_core.pipeline import Denoiser, SampleConfig

RELEASE_SHIFT = 5.0
RELEASE = f"shift {RELEASE_SHIFT:g}"
REFERENCE_STEPS = 200
CACHE_START, CACHE_END = 0.1, 0.95
STUDY_GUIDANCE = GuidanceConfig(video_scale=1.5, audio_scale=2.0, skip_layer=None)


@dataclass(frozen=True)
class Cell:
    """One sampling configuration.

    Attributes:
        sampler: ComfyUI's name of the sampler.
        schedule: ``shift N`` for the release's schedule with a shift, or ComfyUI's name of a scheduler.
        steps: Number of steps.
        cache: Step cache; None for no cache.
    """

    sampler: str
    schedule: str
    steps: int
    cache: StepCacheConfig | None = None

    @property
    def way(self) -> tuple[str, str, int]:
        """Sampler, schedule and steps."""
        return self.sampler, self.schedule, self.steps

    @property
    def name(self) -> str:
        """Name of the cell in tables and on disk."""
        plain = f"{self.sampler}, {self.schedule}, {self.steps}"
        if self.cache is None:
            return plain
        video, audio = self.cache.thresholds
        return f"{plain}, cache {video:g} {audio:g} {self.cache.start:.3g} {self.cache.stop:.3g}"


REFERENCE = Cell("euler", RELEASE, REFERENCE_STEPS)


@dataclass(frozen=True)
class Studied:
    """The network whose sampling is compared.

    Attributes:
        model: Its file; a codec in the same folder is used.
        world: Name of its toons' world.
        guidance: Guidance in every cell.
    """

    model: Path = BUNDLED_MODEL
    world: str = "steady"
    guidance: GuidanceConfig = STUDY_GUIDANCE

    @property
    def plan(self) -> GuidancePlan:
        """Null passes in every cell: they change at the reference's noise level."""
        return GuidancePlan.of(self.guidance, release_sigmas(REFERENCE_STEPS))

    @property
    def passes_of_a_call(self) -> int:
        """Passes of the network in a call: one with conditions, and a null pass where there is guidance."""
        return 2 if self.plan.guides else 1


@cache
def comfy_samplers() -> Any:
    """Import ComfyUI's samplers, on the CPU.

    Raises:
        ImportError: If ``COMFYUI_PATH`` does not lead to ComfyUI; ``dev.py bench`` sets it.
    """
    args = comfyui_arguments("bench steps")
    args.cpu = True
    import comfy.samplers

    return comfy.samplers


@cache
def flow_sampling() -> Any:
    """ComfyUI's model sampling of the flow."""
    comfy_samplers()
    from comfy.model_sampling import ModelSamplingDiscreteFlow

    settings = SimpleNamespace(sampling_settings={"shift": RELEASE_SHIFT, "multiplier": 1000})
    return ModelSamplingDiscreteFlow(settings)


def sigmas_of(schedule: str, steps: int) -> Tensor:
    """Sigmas of a schedule, falling, (steps + 1,)."""
    if schedule.startswith("shift "):
        return release_sigmas(steps, float(schedule.removeprefix("shift ")))
    return comfy_samplers().calculate_sigmas(flow_sampling(), schedule, steps)


def cache_config(video: float, audio: float) -> StepCacheConfig:
    """Step cache with these thresholds, and the node's default start and end."""
    even = 1 - torch.tensor((CACHE_START, CACHE_END))
    start, stop = shift_sigma(even, RELEASE_SHIFT).tolist()
    return StepCacheConfig((video, audio), start, stop)


class FlatDenoiser:
    """Denoiser of joint latents in the flat form (B, 1, N) of ComfyUI's samplers; counts the network's ``passes``."""

    def __init__(self, denoiser: Denoiser, noise: Latents, config: StepCacheConfig | None) -> None:
        self.denoiser = denoiser
        self.shapes = [part.shape for part in noise]
        self.passes = 0
        sampling = SimpleNamespace(get_model_object=lambda _: flow_sampling())
        self.inner_model = SimpleNamespace(model_patcher=sampling)  # Some samplers read the type of the model here.
        self._network = denoiser.predict
        self._cache = StepCache(config) if config else None
        mask = (~denoiser.kept.video_keep).float()[:, None, :, None, None]
        self._weights = (mask.expand(noise[0].shape), (~denoiser.kept.audio_keep).float()[..., None])
        denoiser.predict = self._predict

    def __call__(self, flat: Tensor, sigma: Tensor, **_: Any) -> Tensor:
        """Estimate clean latents."""
        return self.pack(self.denoiser(self.unpack(flat), float(sigma[0])))

    def _predict(self, noisy: Latents, sigma: float, conditions: Conditions) -> Latents:
        """Velocity of one pass, from the cache or the network."""

        def compute() -> Latents:
            self.passes += 1
            return self._network(noisy, sigma, conditions)

        if self._cache is None:
            return compute()
        return self._cache.velocity(id(conditions), noisy, sigma, self._weights, compute)

    def pack(self, parts: Latents) -> Tensor:
        """Pack video and audio into one tensor."""
        return torch.cat([part.flatten(1)[:, None] for part in parts], dim=-1)

    def unpack(self, flat: Tensor) -> Latents:
        """Unpack video and audio from one tensor."""
        sizes = [shape[1:].numel() for shape in self.shapes]
        return tuple(part.reshape(s) for part, s in zip(flat.split(sizes, dim=-1), self.shapes, strict=True))


class Clips:
    """Held-out toons, and the network that generates them."""

    def __init__(self, count: int, folder: Path, studied: Studied | None = None) -> None:
        self.studied = studied = studied or Studied()
        codec = codec_beside(studied.model)
        self.model = load_model(studied.model, dtype=torch.float32)
        self.codec = load_codec(codec)
        self.cases: list[Case] = cases_of("joint", count, EVALUATION_SEED, WORLDS[studied.world])
        self._store = Store.of(folder, [studied.model, codec], SampleConfig(guidance=studied.guidance), 0)

    def latents(self, cell: Cell, count: int) -> tuple[Latents, int]:
        """Latents of the first ``count`` cases, video (B, 48, T, H, W) and mel (B, S, 80), and their network passes."""
        clips = [self._clip(cell, number) for number in range(count)]
        parts = (torch.cat([clip[name] for clip in clips]) for name in ("video", "audio"))
        return tuple(parts), sum(int(clip["passes"]) for clip in clips)

    def _clip(self, cell: Cell, number: int) -> dict[str, Tensor]:
        """Generate one clip, or read it from disk."""
        path = self._store.path(cell.name, number, 1)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(self._make(cell, number), path)
        return load_file(path)

    @torch.no_grad()
    def _make(self, cell: Cell, number: int) -> dict[str, Tensor]:
        denoiser, noise = set_up(self.model, self.codec, self.cases[number : number + 1], self.studied.plan, number)
        flat = FlatDenoiser(denoiser, noise, cell.cache)
        solve: Callable[..., Tensor] = comfy_samplers().sampler_object(cell.sampler).sampler_function
        sigmas = sigmas_of(cell.schedule, cell.steps)
        result = solve(flat, flat.pack(noise), sigmas, extra_args={"seed": 0}, callback=None, disable=True)
        video, audio = denoiser.kept.write_into(flat.unpack(result))
        passes = torch.tensor(flat.passes)
        return {"video": video.contiguous(), "audio": audio.contiguous(), "passes": passes}

    def errors(self, cell: Cell, count: int) -> dict[str, float]:
        """Relative root mean square error of the generated latents against the reference with the same noise.

        ``calls`` counts calls of the network for one clip, each a pass with conditions and, with guidance, a null pass.
        """
        made, passes = self.latents(cell, count)
        exact, _ = self.latents(REFERENCE, count)
        first = self.cases[0].latents_kept
        return {
            "calls": self.calls(passes, count),
            "video": relative(made[0][:, :, first:], exact[0][:, :, first:]),
            "audio": relative(made[1], exact[1]),
        }

    def calls(self, passes: int, count: int) -> float:
        """Calls of the network for each of some clips that took these passes together."""
        return passes / self.studied.passes_of_a_call / count

    def decoded(self, cell: Cell) -> Sequence[Made]:
        """All cases as they are seen and heard."""
        (video, audio), _ = self.latents(cell, len(self.cases))
        return decode(self.codec, video, audio)


def relative(made: Tensor, exact: Tensor) -> float:
    """Root mean square error relative to the root mean square of the exact latents."""
    return float((made - exact).square().mean().sqrt() / exact.square().mean().sqrt())
