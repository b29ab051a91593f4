"""Sets of adapters on one network: each computes alone, and the weights under them are never touched."""

import torch

from tests.toys import Clip, random_model
from uniavgen_core.training.active_adapter import active_adapter, active_name, without_gradient
from uniavgen_core.training.gradient_checkpointing import RecomputedModel
from uniavgen_core.training.lora import ADAPTER, LoraPlan, add_lora, is_lora, lora_tensors

PLAN = LoraPlan(interactions=True, rank=2)
NAMES = (ADAPTER, "critic")
CLIP = Clip(dtype=torch.float32)


def twice_adapted(form=None):
    """The tiny network with two sets of adapters that do something."""
    model = random_model(dtype=torch.float32) if form is None else random_model(form=form, dtype=torch.float32)
    torch.manual_seed(3)
    add_lora(model, PLAN, NAMES)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def loss_of(model):
    output = CLIP.run(model)
    return output.video.square().mean() + output.audio.square().mean()


def gradients(model):
    return {name for name, value in model.named_parameters() if value.grad is not None and value.grad.abs().max() > 0}


def test_without_adapters_the_network_is_the_one_before_bit_for_bit_and_with_another_set_it_is_another():
    plain, model = random_model(dtype=torch.float32), twice_adapted()
    with active_adapter(model, None):
        bare = CLIP.run(model)
    assert torch.equal(bare.video, CLIP.run(plain).video)
    assert torch.equal(bare.audio, CLIP.run(plain).audio)
    with active_adapter(model, "critic"):
        other = CLIP.run(model).video
    assert len({tensor.sum().item() for tensor in (bare.video, other, CLIP.run(model).video)}) == 3


def test_each_set_gets_the_gradients_of_its_own_passes_and_the_weights_get_none():
    model = twice_adapted()
    with active_adapter(model, "critic"):
        loss = loss_of(model)
    loss.backward()  # the student is active again by now
    own = {name for name, _ in model.named_parameters() if is_lora(name, "critic")}
    assert gradients(model) == own
    model.zero_grad()
    loss_of(model).backward()
    assert gradients(model) == {name for name, _ in model.named_parameters() if is_lora(name)}
    assert all(parameter.requires_grad == ("lora_" in name) for name, parameter in model.named_parameters())


def test_steps_of_both_sets_leave_the_weights_under_them_bit_for_bit():
    model = twice_adapted()
    before = {name: value.clone() for name, value in model.state_dict().items() if "lora_" not in name}
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], 0.1)
    for name in NAMES:
        with active_adapter(model, name):
            loss = loss_of(model)
        loss.backward()
        optimizer.step()
    after = model.state_dict()
    assert len(before) > 100
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_recomputed_pass_is_recomputed_with_the_adapters_it_was_made_with():
    kept, recomputed = twice_adapted(), twice_adapted(RecomputedModel)
    for model in (kept, recomputed):
        with active_adapter(model, "critic"):
            loss = loss_of(model)
        loss.backward()
        assert active_name(model) == ADAPTER
    theirs = dict(recomputed.named_parameters())
    for name, parameter in kept.named_parameters():
        assert (parameter.grad is None) == (theirs[name].grad is None), name
        if parameter.grad is not None:
            torch.testing.assert_close(theirs[name].grad, parameter.grad, msg=name)


def test_a_pass_without_gradients_leaves_those_of_the_next_pass_whole_under_autocast():
    grads = []
    for earlier in (False, True):
        model = twice_adapted()
        with torch.autocast("cpu", torch.bfloat16):
            if earlier:
                assert not without_gradient(model, ADAPTER, loss_of)(model).requires_grad
            loss_of(model).backward()
        grads.append({name: value.grad for name, value in model.named_parameters() if value.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    assert all(torch.equal(value, grads[1][name]) for name, value in grads[0].items())


def test_the_exported_adapters_are_the_students_alone():
    model = twice_adapted()
    tensors = lora_tensors(model.state_dict())
    assert len(tensors) == sum(is_lora(name) for name in model.state_dict())
    assert not any("critic" in name for name in tensors)


def test_new_sets_are_equal_to_the_network_without():
    plain, model = random_model(dtype=torch.float32), random_model(dtype=torch.float32)
    add_lora(model, PLAN, NAMES)
    for name in NAMES:
        with active_adapter(model, name):
            assert torch.equal(CLIP.run(model).video, CLIP.run(plain).video)
