from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset

from toon import MODEL
from toon.training.codec_stages import train_on_estimates
from toon.training.diagonal_start import new_model
from toon.training.recipe import Recipe, starting_model, train
from toon.training.recipe_stages import SOUND, all_but_sound, sound_alone
from uniavgen_core.bundled.bundled_files import CODEC_FILE, MODEL_FILE, load_codec
from uniavgen_core.checkpoint.load_weights import read_tensors
from uniavgen_core.training.batch_part import Objective
from uniavgen_core.training.optimizer import OptimizerConfig, make_optimizers

SHIPPED = Path(__file__).parents[2] / "uniavgen_core" / "assets" / MODEL_FILE


@pytest.fixture
def fresh_engine():
    """Accelerate as in a new process: it remembers the precision of whoever asked first."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


class Nothing(Dataset):
    """Empty batches."""

    def __getitem__(self, part):
        return part


def shrink(model, batch, progress):
    """A loss that needs no data."""
    del batch, progress
    return {"loss": sum(parameter.square().mean() for parameter in model.parameters())}


OBJECTIVE = Objective(Nothing(), shrink)


@pytest.mark.usefixtures("fresh_engine")
def test_a_stage_starts_from_what_the_one_before_has_left_and_else_from_the_shipped_file(tmp_path):
    recipe = Recipe(tmp_path, shipped=SHIPPED, threads=1)
    shipped = {name: value.float() for name, value in read_tensors(SHIPPED)[0].items()}
    torch.testing.assert_close(dict(starting_model(recipe, "sight").state_dict()), shipped, rtol=0, atol=0)

    model = new_model(MODEL, 1)
    train(recipe, model, make_optimizers(model, OptimizerConfig()), OBJECTIVE, replace(recipe.run("sight"), steps=1))
    left = dict(starting_model(recipe, "sight").state_dict())
    torch.testing.assert_close(left, recipe.trained("sight"), rtol=0, atol=0)
    assert any(not torch.equal(left[name], shipped[name]) for name in shipped)
    later, before = (dict(starting_model(recipe, name).state_dict()) for name in ("words", "picture"))
    torch.testing.assert_close(later, left, rtol=0, atol=0)  # of the stages between nothing is there
    torch.testing.assert_close(before, shipped, rtol=0, atol=0)


def test_the_codec_to_go_on_with_is_the_last_that_a_stage_has_left_and_else_the_shipped_one(tmp_path):
    recipe = Recipe(tmp_path, shipped=SHIPPED)
    assert recipe.known_codec == SHIPPED.parent / CODEC_FILE
    for path in (recipe.codec_path, recipe.refined_path):
        path.touch()
        assert recipe.known_codec == replace(recipe, shipped=None).known_codec == path
    assert recipe.unrefined_codec == recipe.codec_path  # Refined again, latents are held where they were at first.


def test_the_codec_to_ship_is_that_of_the_last_stage_that_trained_its_decoder(tmp_path):
    recipe = Recipe(tmp_path, shipped=SHIPPED)
    assert recipe.final_codec == SHIPPED.parent / CODEC_FILE
    for path in (recipe.refined_path, recipe.decoder_path, recipe.finished_path):
        path.touch()
        assert recipe.final_codec == path


@pytest.mark.usefixtures("fresh_engine")
def test_training_on_estimates_changes_the_decoder_and_neither_encoder_nor_latents(tmp_path, monkeypatch):
    monkeypatch.setattr("toon.training.estimated_clips.BATCH", 2)
    recipe = Recipe(tmp_path, shipped=SHIPPED, estimated=2, estimates_steps=2, threads=1)
    assert train_on_estimates(recipe)
    before, after = load_codec().state_dict(), recipe.trained("estimates")
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder"}


def test_every_weight_belongs_to_the_sound_or_to_the_picture():
    model = new_model(MODEL, 0)
    parts = [
        {name for name, parameter in chosen(model).named_parameters() if parameter.requires_grad}
        for chosen in (sound_alone, all_but_sound)
    ]
    assert parts[0] | parts[1] == {name for name, _ in model.named_parameters()}
    assert not parts[0] & parts[1]
    assert all(any(name.startswith(start) for name in parts[0]) for start in SOUND)
    assert {name.split(".")[0] for name in parts[1]} >= {"blocks", "a2v_blocks", "patch_embedding", "head"}
