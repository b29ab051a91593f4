"""Conditions of the null pass of guidance, for clips that training draws."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..config import Interaction
from ..diffusion.guidance import GuidancePlan, NullPass
from ..model.joint import Conditions
from .flow_matching import CleanClips
from .task_sampling import Sampled, TrainingClips


def draw_with_textless(
    source: TrainingClips[Sampled], sample: Sampled, shared: np.random.Generator, own: Sequence[np.random.Generator]
) -> tuple[CleanClips, Conditions]:
    """Draw clips, and their conditions once more without texts.

    Args:
        source: The clips.
        sample: The task of the step.
        shared: Generator that is the same for all parts of the step.
        own: One generator for each clip; all go on from where the clips left them.

    Returns:
        The clips, and conditions for the same clips without texts or interaction.
    """
    silent = replace(sample, interaction=Interaction.OFF, text_dropout=1.0)
    again = copy.deepcopy((shared, list(own)))
    clips = source.draw_clips(sample, shared, own)
    return clips, source.draw_clips(silent, *again).conditions


def null_conditions(
    conditions: Conditions, textless: Conditions, null_pass: NullPass, plan: GuidancePlan
) -> Conditions | None:
    """Conditions of a null pass.

    Args:
        conditions: Conditions of the clips.
        textless: The same without texts.
        null_pass: What the null pass leaves out.
        plan: Guidance, with the layer that null passes skip.

    Returns:
        Conditions to run; None where there is no null pass.
    """
    if null_pass is NullPass.NONE:
        return None
    off = null_pass is NullPass.WITHOUT_INTERACTION
    interaction = Interaction.OFF if off else conditions.interaction
    return replace(textless, interaction=interaction, skip_layer=plan.config.skip_layer)
