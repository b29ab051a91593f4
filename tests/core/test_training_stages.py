from dataclasses import replace
from pathlib import Path

import torch

from uniavgen_core.checkpoint.load import read_tensors
from uniavgen_core.training.optimizer import OptimizerConfig, make_optimizers
from uniavgen_core.training.recipe import MODEL_FILE, Recipe, new_model, train
from uniavgen_core.training.stages import starting_model

SHIPPED = Path(__file__).parents[2] / "uniavgen_core" / "assets" / MODEL_FILE


def shrink(model, part, progress):
    """A loss that needs no data."""
    del part, progress
    return {"loss": sum(parameter.square().mean() for parameter in model.parameters())}


def test_a_stage_starts_from_what_the_one_before_has_left_and_else_from_the_shipped_file(tmp_path):
    recipe = Recipe(tmp_path, shipped=SHIPPED, threads=1)
    shipped = {name: value.float() for name, value in read_tensors(SHIPPED)[0].items()}
    torch.testing.assert_close(dict(starting_model(recipe, "sight").state_dict()), shipped, rtol=0, atol=0)

    model = new_model(1)
    train(recipe, model, make_optimizers(model, OptimizerConfig()), shrink, replace(recipe.run("sight"), steps=1))
    left = dict(starting_model(recipe, "sight").state_dict())
    torch.testing.assert_close(left, recipe.trained("sight"), rtol=0, atol=0)
    assert any(not torch.equal(left[name], shipped[name]) for name in shipped)
