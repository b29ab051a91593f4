"""What runs on a CUDA device, on tensors that claim to be there and have no memory.

Operators refuse tensors of two devices there, and nobody can tell a value, for which on a card the host would wait.
The last tests compute: with ``--device cuda`` on the card and with its kernels, else on the CPU.
"""

from dataclasses import replace
from types import SimpleNamespace

import comfy.ops
import comfy.quant_ops
import comfy.utils
import numpy as np
import pytest
import torch
from comfy.ldm.modules.attention import attention_pytorch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from tests.nodes.test_tasks_parity import TASKS, assert_ends_as_released
from tests.parity.fixtures import relative_error
from tests.toys import TINY, Clip, random_model, with_variant
from uniavgen_core.bundled.video_codec import VideoCodec
from uniavgen_core.checkpoint.gguf_quants import BlockKind, unpack
from uniavgen_core.config import PAPER, Alignment, Interaction
from uniavgen_core.layers import backend
from uniavgen_core.layers.rope import rope_3d
from uniavgen_core.model.alignment import context_groups
from uniavgen_core.model.face_mask import FaceSteering
from uniavgen_core.model.joint import JointModel
from uniavgen_core.training.flow_matching import CleanClips, LossWeights, flow_matching_losses, to_device, with_noise

SIZED = replace(TINY, latent_channels=48, mel_bins=80)
DTYPES = (torch.bfloat16, torch.float16, torch.float32)
KERNELS = {"comfy_kitchen::adaln", "comfy_kitchen::apply_rope1_"}


@pytest.fixture
def card(pack):
    """New tensors lie on a device that is not there."""
    pack.uniavgen_core.model.alignment.context_groups(26, 4, TINY.variant)  # from numbers, which such tensors have not
    with FakeTensorMode(), torch.device("cuda"):
        yield


class Names(TorchDispatchMode):
    """Collects the names of operators that run."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.seen.add(operator._schema.name)
        return operator(*args, **(kwargs or {}))


class Transfers(TorchDispatchMode):
    """Counts what the host sends to the card, for which it waits."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        result = operator(*args, **(kwargs or {}))
        given, made = (
            {x.device.type for x in tree_leaves(each) if torch.is_tensor(x)} for each in ((args, kwargs), result)
        )
        self.count += given == {"cpu"} and made == {"cuda"}
        return result


def on_device(clip, device="cuda"):
    """A clip whose inputs are on a device."""

    def sent(values):
        return tree_map(lambda x: x.to(device) if torch.is_tensor(x) else x, values)

    clip.conditions = replace(clip.conditions, **sent(vars(clip.conditions)))
    clip.inputs = sent(clip.inputs)
    return clip


CLIPS = {
    "plain": {},
    "a reference voice": {"voice": 5},
    "no reference image": {"image": False},
    "two clips": {"batch": 2},
    "a layer left out": {"skip_layer": 1, "interaction": Interaction.OFF},
}
VARIANTS = {
    "release": TINY,
    "paper": replace(TINY, variant=PAPER),
    "everything sees everything": with_variant(a2v_alignment=Alignment.GLOBAL, v2a_alignment=Alignment.GLOBAL),
}


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("changes", CLIPS.values(), ids=CLIPS)
def test_the_network_stays_on_the_card_and_waits_for_nothing(changes, config):
    context_groups(26, 4, config.variant)
    batch = changes.get("batch", 1)
    kept = (torch.arange(4)[None] < 1).expand(batch, -1), (torch.arange(26)[None] < 3).expand(batch, -1)
    clip = Clip(config=config, dtype=torch.float32, kept=kept, **changes)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cuda"), torch.no_grad():
        on_device(clip)
        steering = FaceSteering(torch.ones(batch, 1, 4, *clip.size))
        clip.conditions = replace(clip.conditions, steering=steering)
        output = clip.run(JointModel(config))
    assert {output.video.device.type, output.audio.device.type, output.face_masks.device.type} == {"cuda"}


# ComfyUI's attention on cards; without one it may have chosen another, which asks for free memory.
OPTIONS = {"optimized_attention_override": lambda _, *args, **kwargs: attention_pytorch(*args, **kwargs)}


@pytest.fixture(params=["cuda", "cpu"], ids=["weights on the card", "weights in main memory"])
def comfyuis(pack, card, request):  # noqa: ARG001 - the card is asked for first
    """ComfyUI's model, a latent, and what conditionings bring to it."""
    config = pack.nodes.host.model.joint_model.UniAVGenConfig(SIZED)
    config.set_inference_dtype(torch.bfloat16, None)
    config.custom_operations = comfy.ops.disable_weight_init if request.param == "cuda" else comfy.ops.manual_cast
    video, audio = torch.zeros(1, 48, 4, 4, 6), torch.zeros(1, 1, 26, 80)
    latent, shapes = comfy.utils.pack_latents([video, audio])
    with torch.device(request.param) as place:
        made = config.get_model({}, device=place)
    conditionings = made.extra_conds(
        cross_attn=torch.zeros(1, 3, SIZED.text.caption_dim),
        latent_shapes=shapes,
        denoise_mask=comfy.utils.pack_latents([torch.ones_like(video), torch.ones_like(audio)])[0],
        uniavgen_reference_image=video[:, :, :1],
        uniavgen_reference_voice=audio[:, :, :5],
    )
    return made, latent, {name: value.cond for name, value in conditionings.items()}


@pytest.mark.parametrize("backend", ["cuda", "eager"])
def test_comfyuis_model_stays_on_the_card_and_runs_its_kernels_where_it_has_them(comfyuis, monkeypatch, backend):
    model, latent, conditionings = comfyuis
    monkeypatch.setattr(comfy.quant_ops.ck.registry, "get_capable_backend", lambda _: backend)

    def run():
        return model.apply_model(latent, torch.ones(1), transformer_options=OPTIONS, **conditionings)

    there = KERNELS if backend == "cuda" else set()
    with Names() as names, torch.no_grad():
        denoised = run()
    assert (denoised.device.type, denoised.shape) == ("cuda", latent.shape)
    assert names.seen & KERNELS == there
    with Names() as names, torch.enable_grad():
        run()
    assert names.seen & KERNELS == there, "frozen weights need no gradients"
    model.diffusion_model.requires_grad_()
    with Names() as names, torch.enable_grad():
        run()
    assert not names.seen & KERNELS


@pytest.mark.usefixtures("card")
@torch.no_grad()
def test_kernels_are_there_for_half_precision_alone(pack, monkeypatch):
    monkeypatch.setattr(comfy.quant_ops.ck.registry, "get_capable_backend", lambda _: "cuda")
    fused = [pack.nodes.host.model.comfy_backend.fused("adaln", torch.zeros(1, dtype=dtype)) for dtype in DTYPES]
    assert fused == [True, True, False]


def test_comfyui_has_both_kernels_under_these_names():
    registry = comfy.quant_ops.ck.registry
    with registry.use_backend("eager"):  # raises for a name that is not known
        assert {registry.get_capable_backend(name.removeprefix("comfy_kitchen::")) for name in KERNELS} == {"eager"}


def test_the_host_sends_nothing_during_layers():
    context_groups(26, 4, TINY.variant)
    counts = []
    for layers in (2, 4):
        config = replace(TINY, num_layers=layers, num_interactions=layers // 2)
        with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cuda"), torch.no_grad():
            model, clip = JointModel(config), on_device(Clip(config=config, dtype=torch.float32))
            with Transfers() as transfers:
                clip.run(model)
        counts.append(transfers.count)
    assert counts[0] == counts[1] > 0


def test_losses_of_training_are_computed_on_the_card():
    context_groups(26, 4, TINY.variant)
    clip = Clip(dtype=torch.float32)
    shape = (1, clip.latents, *clip.size)
    clips = CleanClips(
        video=clip.video,
        audio=clip.audio,
        video_keep_mask=torch.zeros(1, clip.latents, dtype=torch.bool),
        audio_keep_mask=torch.zeros(1, clip.tokens, dtype=torch.bool),
        face=torch.ones(shape),
        mouth=torch.ones(shape),
        conditions=clip.conditions,
    )
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):
            model = JointModel(TINY)
        batch = to_device(with_noise(clips, torch.ones(1), [np.random.default_rng(0)]), "cuda")
        losses = flow_matching_losses(model, batch, LossWeights(face=2, mask=1, mouth=1))
    assert {loss.device.type for loss in losses.values()} == {"cuda"}


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize("kind", BlockKind, ids=lambda kind: kind.name)
def test_packed_weights_are_unpacked_on_the_card_alone(kind):
    packed = torch.zeros(4, 2 * kind.value.size, dtype=torch.uint8)
    with Transfers() as transfers:
        weights = unpack(packed, kind)
    assert (weights.device.type, weights.shape, transfers.count) == ("cuda", (4, 2 * kind.value.weights), 0)


@pytest.mark.usefixtures("card")
def test_the_video_codec_stays_on_the_card():
    with torch.no_grad():
        codec = VideoCodec((8, 8, 8), chunks_per_pass=2)
        latents = codec.encode(torch.zeros(1, 3, 5, 32, 32))
        assert codec.decode(latents).device.type == "cuda"


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("changes", CLIPS.values(), ids=CLIPS)
@torch.no_grad()
def test_the_network_in_float32_gives_what_it_gives_on_the_cpu_in_double_precision(changes, config, device, float32):
    want = Clip(config=config, **changes).run(random_model(config))
    clip = on_device(Clip(config=config, dtype=torch.float32, **changes), device)
    got = clip.run(random_model(config, dtype=torch.float32).to(device))
    assert relative_error(got.video.cpu(), want.video) < float32
    assert relative_error(got.audio.cpu(), want.audio) < float32


@pytest.fixture
def kernels(pack, monkeypatch):
    """The host's layers with ComfyUI's kernels, those of the device, and the names of those used."""
    host, used = pack.nodes.host.model.comfy_backend, set()
    monkeypatch.setattr(host, "fused", lambda name, _: not used.add(f"comfy_kitchen::{name}"))
    return SimpleNamespace(norm_rope=host.norm_rope, norm_modulate=host.norm_modulate, used=used)


@pytest.fixture
def draw(device):
    """Seeded normal numbers on the device, in the precision for which it has kernels."""
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    return lambda *shape: torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(device, dtype)


def assert_same_up_to_rounding(got, want):
    """``want`` is computed in float32."""
    assert relative_error(got.float(), want) < (1e-6 if got.dtype is torch.float32 else 1e-2)


@pytest.mark.parametrize("task", TASKS)
def test_with_comfyuis_kernels_sampling_ends_where_the_release_ends(
    pack, golden_runs, golden_model, kernels, task, float32
):
    assert_ends_as_released(pack, golden_runs, golden_model, task, float32)
    assert kernels.used == KERNELS


@torch.no_grad()
def test_comfyuis_kernels_rotate_as_the_core_does(kernels, draw, device):
    x, rope = draw(2, 12, 256), rope_3d(torch.arange(3.0), 2, 2, 128).to(device)
    norm = torch.nn.RMSNorm(256, eps=1e-6, device=device, dtype=x.dtype)
    for table in (rope, None):
        want = backend.norm_rope(x.float(), torch.nn.RMSNorm(256, eps=1e-6, device=device), table, 2)
        assert_same_up_to_rounding(kernels.norm_rope(x.clone(), norm, table, 2), want)


@torch.no_grad()
def test_comfyuis_kernels_break_no_compiled_graph(kernels):
    x, rope = torch.randn(1, 12, 24), rope_3d(torch.arange(3.0), 2, 2, 12)
    shift, scale = torch.randn(2, 1, 3, 24)

    def work(x):
        rotated = kernels.norm_rope(x, torch.nn.Identity(), rope, 2)
        return kernels.norm_modulate(rotated, torch.nn.LayerNorm(24, elementwise_affine=False), shift, scale)

    compiled = torch.compile(work, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x.clone()), work(x.clone()))


@torch.no_grad()
def test_comfyuis_kernels_modulate_as_the_core_does(kernels, draw):
    tokens, shift, scale = draw(2, 12, 256), draw(2, 3, 256), draw(2, 3, 256).flip(1)
    norm = torch.nn.LayerNorm(256, eps=1e-6, elementwise_affine=False)
    want = backend.norm_modulate(tokens.float(), norm, shift.float(), scale.float())
    assert_same_up_to_rounding(kernels.norm_modulate(tokens, norm, shift, scale), want)
    assert relative_error(kernels.norm_modulate(tokens, norm, shift.flip(1), scale).float(), want) > 0.1
