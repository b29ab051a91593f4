"""LoRA: which layers have adapters, that each is heard, and that a file brings them back."""

import ast
import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tests.toys import TINY, Clip, random_model
from uniavgen_core.config import from_dict
from uniavgen_core.training.lora import METADATA_KEY, LoraBranch, LoraPlan, add_lora, is_lora, save_lora

ROOT = Path(__file__).parents[3]
CLIP = Clip(dtype=torch.float32, voice=3)


def adapted(plan, disturbed=True):
    """The tiny network with adapters, that do something unless told otherwise."""
    model = random_model(dtype=torch.float32)
    torch.manual_seed(5)
    add_lora(model, plan)
    if disturbed:
        for name, parameter in model.named_parameters():
            if is_lora(name):
                torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def adapters_of(model):
    return {name: parameter for name, parameter in model.named_parameters() if is_lora(name)}


@pytest.mark.parametrize("branch", LoraBranch)
@pytest.mark.parametrize("interactions", [False, True])
def test_the_plans_layers_and_no_others_train(branch, interactions):
    model = adapted(LoraPlan(branch, interactions, rank=2))
    trained = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
    blocks = {"video": {"blocks"}, "audio": {"audio_blocks"}, "both": {"blocks", "audio_blocks"}}[branch.value]
    assert trained == blocks | ({"a2v_blocks", "v2a_blocks"} if interactions else set())
    layers = 10 * TINY.num_layers * len(blocks) + interactions * 8 * TINY.num_interactions
    assert len(adapters_of(model)) == 2 * layers
    assert all(parameter.requires_grad == is_lora(name) for name, parameter in model.named_parameters())


def test_new_adapters_change_nothing_and_are_float32_beside_weights_of_half_precision():
    plain = random_model(dtype=torch.bfloat16)
    clip = Clip(dtype=torch.bfloat16)
    want = clip.run(plain)
    add_lora(plain, LoraPlan(interactions=True, rank=2))
    got = clip.run(plain)
    assert torch.equal(got.video, want.video)
    assert torch.equal(got.audio, want.audio)
    assert {parameter.dtype for parameter in adapters_of(plain).values()} == {torch.float32}
    assert plain.blocks[0].self_attn.q.base_layer.weight.dtype == torch.bfloat16


def test_every_adapter_is_heard_in_one_pass():
    model = adapted(LoraPlan(interactions=True, rank=2))
    output = CLIP.run(model)
    (output.video.square().sum() + output.audio.square().sum()).backward()
    silent = [name for name, parameter in adapters_of(model).items() if parameter.grad.abs().max() == 0]
    assert silent == []


def test_the_network_calls_its_layers_and_reads_no_weight_past_them():
    """A weight that is read, not called, would leave its adapter out."""
    for path in [*(ROOT / "uniavgen_core" / "model").glob("*.py"), *(ROOT / "uniavgen_core" / "layers").glob("*.py")]:
        if path.name != "initialize.py":  # starting weights are set before adapters are added
            read = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
            assert not [node.lineno for node in read if node.attr in ("weight", "bias")], path.name


def with_file(path):
    """The plain network with a file's adapters in its weights: W + alpha / rank * B A."""
    model, tensors = random_model(dtype=torch.float32).eval(), load_file(path)
    with torch.no_grad():
        for name in [name for name in tensors if name.endswith(".alpha")]:
            layer = name.removeprefix("diffusion_model.").removesuffix(".alpha")
            down, up = (tensors[f"diffusion_model.{layer}.lora_{part}.weight"] for part in "AB")
            model.get_submodule(layer).weight += tensors[name] / len(down) * up @ down
    return model


def test_a_saved_file_brings_the_network_back_and_says_its_plan(tmp_path):
    plan = LoraPlan(LoraBranch.AUDIO, True, rank=3, alpha=7.0, targets=("q", "ffn.2"))
    model = adapted(plan)
    save_lora(model, tmp_path / "a.safetensors", plan)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert from_dict(LoraPlan, json.loads(file.metadata()[METADATA_KEY])) == plan
    before, want = CLIP.run(random_model(dtype=torch.float32)), CLIP.run(model)
    got = CLIP.run(with_file(tmp_path / "a.safetensors"))
    torch.testing.assert_close(got.video, want.video, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(got.audio, want.audio, rtol=1e-4, atol=1e-5)
    assert (got.audio - before.audio).abs().max() > 1e-2


def test_the_files_keys_are_the_networks_names_in_comfyuis_generic_style(tmp_path):
    plan = LoraPlan(LoraBranch.VIDEO, rank=2, alpha=3.0, targets=("self_attn.q",))
    save_lora(adapted(plan), tmp_path / "a.safetensors", plan)
    layers = [f"diffusion_model.blocks.{i}.self_attn.q" for i in range(TINY.num_layers)]
    ends = (".lora_A.weight", ".lora_B.weight", ".alpha")
    assert set(load_file(tmp_path / "a.safetensors")) == {layer + end for layer in layers for end in ends}
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.get_tensor(f"{layers[0]}.alpha").item() == 3.0
        assert json.loads(file.metadata()[METADATA_KEY])["branch"] == "video"


def test_an_average_is_saved_in_the_place_of_the_weights(tmp_path):
    plan = LoraPlan(rank=2)
    model = adapted(plan)
    halved = {name: value / 2 for name, value in model.state_dict().items()}
    save_lora(model, tmp_path / "a.safetensors", plan, halved)
    stored = load_file(tmp_path / "a.safetensors")
    for name in adapters_of(model):
        assert torch.equal(stored["diffusion_model." + name.replace(".default.", ".")], halved[name]), name


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rank": 0}, "rank is 0"),
        ({"alpha": 0.0}, "alpha is 0"),
        ({"dropout": 1.0}, "dropout is 1"),
        ({"targets": ()}, "no layers"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        LoraPlan(**fields)


def test_a_target_that_names_no_layer_and_a_second_set_of_adapters_are_refused():
    with pytest.raises(ValueError, match="named to_q"):
        add_lora(random_model(dtype=torch.float32), LoraPlan(targets=("q", "to_q")))
    with pytest.raises(ValueError, match="adapters already"):
        add_lora(adapted(LoraPlan(rank=2)), LoraPlan(rank=2))
    with pytest.raises(ValueError, match="no adapters to save"):
        save_lora(random_model(dtype=torch.float32), Path("never.safetensors"), LoraPlan())


def test_without_peft_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match="pip install peft"):
        add_lora(random_model(dtype=torch.float32), LoraPlan())
