import pytest
import torch

from tests.training_toys import tiny_model
from uniavgen_core.training.engine import EngineConfig
from uniavgen_core.training.optimizer import Muon, OptimizerConfig, make_optimizers, orthogonalized, split_parameters

COEFFICIENTS = (3.4445, -4.775, 2.0315)


def stepped(optimizer_class, shape, steps=4):
    """A matrix after some steps on seeded gradients, and where it began."""
    generator = torch.Generator().manual_seed(3)
    start = torch.randn(shape, generator=generator)
    matrix = torch.nn.Parameter(start.clone())
    optimizer = optimizer_class([matrix], lr=0.02, weight_decay=0.01, momentum=0.95, ns_steps=4)
    for _ in range(steps):
        matrix.grad = torch.randn(shape, generator=generator)
        optimizer.step()
    return start, matrix.detach(), optimizer


@pytest.mark.parametrize("shape", [(96, 32), (32, 96), (48, 48)])
def test_steps_are_pytorchs_but_for_the_rounding_of_bfloat16(shape):
    start, ours, optimizer = stepped(Muon, shape)
    _, theirs, other = stepped(torch.optim.Muon, shape)
    assert (ours - theirs).norm() < 0.01 * (theirs - start).norm()
    torch.testing.assert_close(optimizer.state_dict(), other.state_dict())


@pytest.mark.parametrize("shape", [(96, 32), (32, 96)])
def test_many_iterations_give_the_matrix_all_of_whose_singular_values_are_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonalized(1000 * matrix, (1.875, -1.25, 0.375), 40, 1e-7)
    torch.testing.assert_close(result, left @ right, atol=1e-5, rtol=0)


def test_few_iterations_keep_singular_vectors_and_bring_values_near_one():
    matrix = torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
    left, _, right = torch.linalg.svd(matrix)
    inner = left.mT @ orthogonalized(matrix, COEFFICIENTS, 5, 1e-7) @ right.mT
    values = inner.diagonal()
    assert (inner - values.diag()).abs().max() < 1e-4
    assert values[:-3].min() > 0.3
    assert values.max() < 1.3


def test_a_matrix_without_a_gradient_stays():
    matrix = torch.nn.Parameter(torch.ones(4, 4))
    Muon([matrix], lr=0.1).step()
    assert (matrix == 1).all()


@pytest.mark.parametrize(
    ("machine", "instructions", "expected"),
    [
        ("x86_64", set(), "no"),
        ("x86_64", {"_is_avx512_bf16_supported"}, "bf16"),
        ("AMD64", {"_is_amx_tile_supported"}, "bf16"),
        ("x86_64", {"_is_mkldnn_bf16_supported"}, "no"),  # oneDNN emulates them with AVX-512
        ("aarch64", {"_is_mkldnn_bf16_supported"}, "bf16"),
        ("arm64", set(), "no"),
    ],
)
def test_a_cpu_computes_in_bfloat16_only_if_it_has_instructions_for_it(monkeypatch, machine, instructions, expected):
    monkeypatch.setattr("platform.machine", lambda: machine)
    for place, names in (
        (torch.cpu, ("_is_avx512_bf16_supported", "_is_amx_tile_supported")),
        (torch.ops.mkldnn, ("_is_mkldnn_bf16_supported",)),
    ):
        for name in names:
            monkeypatch.setattr(place, name, lambda name=name: name in instructions)
    assert EngineConfig(cpu=True).chosen == expected
    assert EngineConfig("bf16", cpu=True).chosen == "bf16"
    assert EngineConfig("no").chosen == "no"


def test_every_parameter_has_exactly_one_optimizer():
    model = tiny_model()
    matrices, others = split_parameters(model)
    assert sorted(matrices + others) == sorted(name for name, _ in model.named_parameters())
    owned = [p for o in make_optimizers(model, OptimizerConfig()) for g in o.param_groups for p in g["params"]]
    assert sorted(map(id, owned)) == sorted(id(p) for p in model.parameters())
    assert "blocks.0.ffn.0.weight" in matrices
    assert "a2v_blocks.0.q.weight" in matrices
    assert "a2v_blocks.0.mask_head.head.weight" in others
    assert "text_embedding.text_embed.weight" in others
