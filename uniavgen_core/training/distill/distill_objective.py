"""The objective of a distillation: its batches, and the losses of its method."""

from ..batch_part import Objective
from ..task_sampling import Sampled, TaskSampler, TrainingClips
from .consistency import ConsistencyLosses
from .distill_batches import DistillBatches
from .distill_config import DistillConfig, Method
from .distribution_matching import DistributionLosses

LOSSES = {Method.CONSISTENCY: ConsistencyLosses, Method.DISTRIBUTION: DistributionLosses}


def distill_objective(
    source: TrainingClips[Sampled], sampler: TaskSampler[Sampled], config: DistillConfig, seed: int
) -> Objective:
    """Objective of a distillation on clips of a source, in the tasks of a sampler."""
    return Objective(DistillBatches(source, sampler, config, seed), LOSSES[config.method](sampler, config))
