"""Students of a bundled model: their tasks, their training on toons, and the LoRA that each leaves."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from toon.training.diagonal_start import new_model
from toon.training.recipe import Recipe, train
from toon.training.recipe_stages import make_scenes
from toon.training.task_clips import TaskClips
from toon.training.toon_tasks import ToonTaskConfig
from uniavgen_core.checkpoint.load_weights import read_tensors
from uniavgen_core.config import GuidanceConfig
from uniavgen_core.model.joint import JointModel
from uniavgen_core.training.checkpoint_weights import averaged_weights
from uniavgen_core.training.checkpoints import Checkpoints
from uniavgen_core.training.distill.distill_config import DistillConfig, Method
from uniavgen_core.training.distill.distill_objective import distill_objective
from uniavgen_core.training.launch import launch
from uniavgen_core.training.lora import LoraPlan, add_lora, save_lora, start_from_lora
from uniavgen_core.training.paper_stages import AdamConfig
from uniavgen_core.training.prepare_run import make_adam
from uniavgen_core.training.trainer_config import TrainerConfig

TASKS = ToonTaskConfig(
    joint=0.34, reference_voice=0.12, continuation=0.1, dubbing=0.14, audio_driven=0.14, pair=0.08, relip=0.08,
    interaction_off=0.0, text_dropout=0.05, voice_blind=0.0,
)  # fmt: skip
"""The five tasks in about the paper's ratio, and the two others that the bundled model knows."""
PLAN = LoraPlan(interactions=True, rank=64, alpha=64.0)
ADAM = AdamConfig(rate=5e-4, decay=0.0)
"""A hundred times the released size's rate for whole networks: toons are small, and adapters begin at nothing."""
AVERAGE, WARMUP, FALL, CHECKPOINTS = 0.995, 20, 0.7, 20


@dataclass(frozen=True)
class Student:
    """A student and its training.

    Attributes:
        method: Form of distillation.
        passes: Passes in which it samples.
        guidance: Guidance of its teacher.
        steps: Steps of training.
        recipe: Clips, teacher, threads and seed.
        folder: Folder of all students.
        start: File of adapters to start from; None for new ones.
    """

    method: Method
    passes: int
    guidance: GuidanceConfig
    steps: int
    recipe: Recipe
    folder: Path
    start: Path | None = None

    @property
    def config(self) -> DistillConfig:
        """The distillation."""
        return DistillConfig(self.method, self.passes, guidance=self.guidance)

    @property
    def name(self) -> str:
        """Name in tables and folders."""
        return f"{self.method.value} {self.passes}"

    @property
    def run(self) -> TrainerConfig:
        """Length of its training, and its folder."""
        return TrainerConfig(
            self.folder, f"student_{self.method.value}_{self.passes}", self.steps, batch=self.recipe.batch,
            warmup=WARMUP, fall=FALL, average=AVERAGE, checkpoint_every=max(1, self.steps // CHECKPOINTS), keep=1,
            workers=0,
        )  # fmt: skip

    @property
    def lora(self) -> Path:
        """File of its adapters."""
        return self.run.home / "student.safetensors"


def network_of(recipe: Recipe) -> JointModel:
    """The teacher's network, without adapters.

    Raises:
        ValueError: If the recipe names no file.
    """
    if recipe.shipped is None:
        raise ValueError("A student needs a teacher; name its file.")
    model = new_model(recipe.model, recipe.seed)
    model.load_state_dict({name: value.float() for name, value in read_tensors(recipe.shipped)[0].items()})
    return model


def train_student(student: Student) -> bool:
    """Train in this process and its peers; returns whether the end was reached."""
    recipe, config = student.recipe, student.config
    model = network_of(recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        add_lora(model, PLAN, config.adapters)
    if student.start is not None:
        start_from_lora(model, student.start, PLAN)
    clips = TaskClips(recipe.task_plans, TASKS, recipe.model.text)
    objective = distill_objective(clips, TASKS, config, recipe.seed)
    return train(recipe, model, [make_adam(model, ADAM)], objective, student.run)


def make_student(student: Student) -> Path:
    """Train a student as far as it is not yet trained, and write its adapters.

    Returns:
        The file.

    Raises:
        Stopped: If training was interrupted.
    """
    launch(train_student, student, student.recipe.processes, student.recipe.threads)
    newest = Checkpoints(student.run.home, 1).newest()
    if newest is None:
        raise ValueError(f"Training has left nothing in {student.run.home}.")
    with torch.device("meta"):
        model = JointModel(student.recipe.model)
    save_lora(model, student.lora, PLAN, averaged_weights(newest), student.config.metadata)
    return student.lora


def successive(students: Sequence[Student], further_steps: int) -> list[Student]:
    """The same students in order of training, each but the first starting from an earlier one.

    Students of fewer passes start from one of more, as in progressive distillation (arXiv:2202.00512), and those of
    distribution matching from one of consistency.

    Args:
        students: Students, in any order.
        further_steps: Steps of those that start from another.
    """
    found = list[Student]()
    for student in sorted(students, key=lambda one: (one.method is Method.DISTRIBUTION, -one.passes)):
        consistent = [one for one in found if one.method is Method.CONSISTENCY and one.passes >= student.passes]
        earlier = consistent or [one for one in found if one.method is student.method]
        found.append(replace(student, start=earlier[-1].lora, steps=further_steps) if earlier else student)
    return found


def make_students(students: Sequence[Student]) -> list[Path]:
    """Make the clips that are missing, and the students; see ``make_student``."""
    if students:
        make_scenes(students[0].recipe)
    return [make_student(student) for student in students]
