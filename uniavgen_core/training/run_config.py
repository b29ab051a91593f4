"""One run of training on one's own data: a stage, with any of its fields changed, as a JSON file says."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..config import GuidanceConfig, from_dict
from .distill.distill_config import DISTILL, STUDENT_PLAN, DistillConfig
from .engine import EngineConfig
from .lora import LoraPlan
from .paper_stages import STAGES as PAPER_STAGES
from .paper_stages import Stage
from .plugins import model_config_of
from .task_sampling import LogitNormal, ShiftedUniform, Sigmas
from .trainer_config import TrainerConfig

DISTILL_STAGE = "distill"
STAGES: dict[str, Stage] = {**PAPER_STAGES, DISTILL_STAGE: DISTILL}
SET_BY_STAGE = ("batch", "steps", "warmup", "fall", "average", "clip")


@dataclass(frozen=True)
class RunConfig:
    """Contents of a run's file. Only ``stage`` and ``data`` are required.

    Attributes:
        stage: ``speech``, ``joint`` or ``tasks``, the paper's three, or ``distill`` for a student of few passes.
        data: Folder of encoded clips, several of them, or ``toon:COUNT`` for toons, which are encoded first.
        folder: Where runs lie.
        name: Of this run; checkpoints found under it are resumed.
        seed: Of new weights, the choice of clips, and noise.
        model: ``released`` or ``toon``: the network's size, where no file says it.
        start: A file of ours with all weights to start from, a student's teacher; in the file it is called ``from``.
        video_from: A Wan2.2-TI2V-5B file for the video branch.
        audio_from: A file of ours whose audio branch is taken.
        lora_from: A file of adapters to start from, of the same layers and rank, such as those of a student of more
            passes.
        lora: Adapters to train in place of the weights, the fields of ``LoraPlan``; None for none. A student always
            has adapters.
        distill: Fields of ``DistillConfig`` to change, for the stage ``distill``.
        guidance: Guidance to learn, so that sampling needs no null pass: fields of ``GuidanceConfig`` to change, for
            the other stages; None for none.
        engine: Fields of ``EngineConfig``: precision, sharded, cpu.
        checkpointing: Compute activations again instead of keeping them.
        trainer: Fields of ``TrainerConfig`` to change.
        tasks: Fields of ``TaskConfig`` to change; ``sigmas`` is ``{"shift": 5}`` or ``{"mean": 1, "std": 1.2}``.
        source: Fields of ``SourceConfig`` to change.
        adam: Fields of ``AdamConfig`` to change.
    """

    stage: str
    data: str | Sequence[str]
    folder: str = "output/runs"
    name: str = ""
    seed: int = 0
    model: str = "released"
    start: str | None = None
    video_from: str | None = None
    audio_from: str | None = None
    lora_from: str | None = None
    lora: Mapping[str, Any] | None = None
    distill: Mapping[str, Any] = field(default_factory=dict)
    guidance: Mapping[str, Any] | None = None
    engine: Mapping[str, Any] = field(default_factory=dict)
    checkpointing: bool = False
    trainer: Mapping[str, Any] = field(default_factory=dict)
    tasks: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    adam: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise ValueError(f"stage is {self.stage!r}; it is one of {', '.join(STAGES)}.")
        if self.stage == DISTILL_STAGE and self.start is None:
            raise ValueError('A student needs a teacher: name the file of its weights in "from".')
        if self.stage != DISTILL_STAGE and self.distill:
            raise ValueError(f"distill belongs to the stage {DISTILL_STAGE}; stage is {self.stage!r}.")
        if self.stage == DISTILL_STAGE and self.guidance is not None:
            raise ValueError("The guidance of a student's teacher is a field of distill; guidance is for other stages.")
        if self.lora_from is not None and self.plan is None:
            raise ValueError('lora_from is for runs that train adapters; add "lora".')
        model_config_of(self.model)

    @property
    def preset(self) -> Stage:
        """The stage with the file's changes.

        Raises:
            ValueError: If a changed field does not exist, or its value cannot be.
        """
        stage, tasks = STAGES[self.stage], dict(self.tasks)
        sigmas = parse_sigmas(tasks.pop("sigmas")) if "sigmas" in tasks else stage.tasks.sigmas
        return replace(
            stage,
            tasks=changed(replace(stage.tasks, sigmas=sigmas), tasks, "tasks"),
            source=changed(stage.source, self.source, "source"),
            adam=changed(stage.adam, self.adam, "adam"),
        )

    @property
    def engine_config(self) -> EngineConfig:
        """Precision and placement."""
        return changed(EngineConfig(), self.engine, "engine")

    @property
    def plan(self) -> LoraPlan | None:
        """Adapters to train; None for the weights."""
        if self.stage == DISTILL_STAGE:
            return changed(STUDENT_PLAN, self.lora or {}, "lora")
        return None if self.lora is None else changed(LoraPlan(), self.lora, "lora")

    @property
    def distillation(self) -> DistillConfig | None:
        """Method, passes and teacher of a student; None in other stages."""
        return changed(DistillConfig(), self.distill, "distill") if self.stage == DISTILL_STAGE else None

    @property
    def learned_guidance(self) -> GuidanceConfig | None:
        """Guidance to learn; None for none.

        Raises:
            ValueError: If a scale is not positive.
        """
        if self.guidance is None:
            return None
        config = changed(GuidanceConfig(), self.guidance, "guidance")
        if min(config.video_scale, config.audio_scale) <= 0:
            raise ValueError(f"guidance is {dict(self.guidance)}; scales that are learned must be positive.")
        return config

    @property
    def trainer_config(self) -> TrainerConfig:
        """Length and what is kept: the stage's, with the file's changes."""
        stage = self.preset
        config = TrainerConfig(
            Path(self.folder), self.name or self.stage, **{name: getattr(stage, name) for name in SET_BY_STAGE}
        )
        return changed(replace(config, checkpoint_every=500, keep=3), self.trainer, "trainer")


def read_run(path: Path) -> RunConfig:
    """Read a run's file.

    Raises:
        ValueError: If it is not JSON, a name in it is not known, or a value cannot be; the message says which.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}.") from error
    if not isinstance(values, dict) or not {"stage", "data"} <= set(values):
        raise ValueError(f"{path} must be an object that names at least stage and data.")
    values = {"start" if name == "from" else name: value for name, value in values.items()}
    config = changed(RunConfig("joint", ""), values, path.name)
    for part in ("preset", "engine_config", "plan", "distillation", "learned_guidance", "trainer_config"):
        getattr(config, part)  # Each is checked as it is made.
    return config


def changed(config: Any, values: Mapping[str, Any], where: str) -> Any:
    """A frozen config with some fields changed to plain values.

    Raises:
        ValueError: If there is no such field; the message lists those there are.
    """
    known = [known.name for known in fields(config)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        names = ", ".join("from" if name == "start" else name for name in known)
        raise ValueError(f"{where} has no field named {', '.join(unknown)}. It has {names}.")
    if isinstance(config, RunConfig):
        return replace(config, **values)
    # JSON has lists where a config has tuples.
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return from_dict(type(config), plain, config)


def parse_sigmas(values: Mapping[str, float]) -> Sigmas:
    """Noise levels from their fields.

    Raises:
        ValueError: If the fields are of no distribution.
    """
    for form in (ShiftedUniform, LogitNormal):
        if values and set(values) <= {known.name for known in fields(form)}:
            return form(**values)
    raise ValueError(f"sigmas is {dict(values)}; give shift, or mean and std.")
