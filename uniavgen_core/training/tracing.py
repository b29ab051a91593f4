"""What one forward and backward pass keeps in memory and computes, found by running it on tensors without memory.

Layers are alike, so three networks of one or two layers tell what any number of layers needs.
Dimension key: B batch, T video latents, H and W latent rows and columns, S mel frames.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils.flop_counter import FlopCounterMode

from ..config import Interaction, ModelConfig
from ..layers.backend import Backend
from ..model.alignment_tables import Geometry
from ..model.joint import Conditions, JointModel, JointState
from .optimizer import split_parameters

CHARACTERS = 80
"""Of a transcript; they cost next to nothing."""


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, options: Any = None) -> Tensor:
    """Multi-head attention by the operator whose arithmetic is counted and that keeps no scores; computes nothing.

    Arguments and result are those of ``layers.backend.attend``; the mask is left out.
    """
    del mask, options
    q, k, v = (rearrange(x.to(v.dtype), "b n (h d) -> b h n d", h=heads) for x in (q, k, v))
    return rearrange(torch.ops.aten._scaled_dot_product_flash_attention(q, k, v)[0], "b h n d -> b n (h d)")


COUNTED = Backend(attention=attend)


ALONE = ((1, 0), (2, 0), (1, 1))
"""Layers and interactions of three networks that tell what a layer and an interaction need."""
AFTER_EXCHANGE = ((1, 1), (2, 1), (3, 2))
"""The same where streams are bfloat16 up to the first interaction, whose masks are float32, and float32 after it."""
AMONG_OTHERS = ((2, 1), (3, 1), (4, 2))
"""The same where weights are frozen: there a layer keeps more if gradients flow through it to the ones before."""


@dataclass(frozen=True)
class Trace:
    """What a pass needs; all numbers grow linearly with layers and interactions.

    Attributes:
        trained: Weights in training, count.
        frozen: Other weights, bytes.
        muon: Trained weights of which the optimiser keeps one number and not two, count.
        copies: Weights in the dtype of matrix products, bytes.
        kept: Activations that the backward pass needs, bytes.
        streams: What lies between layers, bytes.
        forward: Floating point operations of the forward pass.
        backward: The same of the backward pass.
    """

    trained: float = 0
    frozen: float = 0
    muon: float = 0
    copies: float = 0
    kept: float = 0
    streams: float = 0
    forward: float = 0
    backward: float = 0

    def plus(self, other: "Trace", times: float = 1) -> "Trace":
        """Add ``times`` another one."""
        names = [field.name for field in fields(self)]
        return Trace(**{name: getattr(self, name) + times * getattr(other, name) for name in names})


@dataclass(frozen=True)
class DeepTrace:
    """What a pass of the whole network needs, and the largest part of it that one layer does.

    Attributes:
        whole: Of all layers and what is around them.
        layers: Of all layers.
        layer: Of one layer with its interaction.
    """

    whole: Trace
    layers: Trace
    layer: Trace


@dataclass(frozen=True)
class Inputs:
    """Sizes of what enters the network.

    Attributes:
        batch: Clips.
        video: Latent frames, rows and columns.
        mel_frames: Mel frames of the clip.
        image: Whether there is a reference image.
        voice_frames: Mel frames of a reference voice; 0 for none.
        interaction: Directions that run.
    """

    batch: int
    video: tuple[int, int, int]
    mel_frames: int
    image: bool = True
    voice_frames: int = 0
    interaction: Interaction = Interaction.BOTH


class TracedModel(JointModel):
    """The joint network on tensors without memory, noting what lies between its layers.

    Attributes:
        streams: Storage of every tensor between layers, to bytes.
    """

    def __init__(self, config: ModelConfig, backend: Backend = COUNTED) -> None:
        super().__init__(config, backend)
        self.streams: dict[int, int] = {}

    def run_layer(self, layer: int, state: JointState, interaction: Interaction, options: Any = None) -> JointState:
        """Run one layer."""
        self.streams |= {storage_of(tensor): tensor.untyped_storage().nbytes() for tensor in tensors_in(state)}
        return super().run_layer(layer, state, interaction, options)

    def _geometry(self, video: Tensor, audio: Tensor) -> Geometry:
        if video.is_meta:
            return super()._geometry(video, audio)
        sizes = torch.Size(video.shape), torch.Size(audio.shape)
        with unset_fake_temporarily():  # the tables are made from numbers, which tensors without memory do not have
            return super()._geometry(*(torch.empty(1, device="cpu").expand(size) for size in sizes))


def trace(
    config: ModelConfig,
    inputs: Inputs,
    prepare: Callable[[JointModel], None],
    half: bool,
    backend: Backend = COUNTED,
) -> DeepTrace:
    """Trace a pass of a network of any depth.

    Args:
        config: The network's.
        inputs: Sizes.
        prepare: Freezes weights, adds adapters.
        half: Whether matrix products run in bfloat16.
        backend: Where layers and attention come from.
    """
    depths = _depths(config, prepare, half)
    plain, deeper, crossing = (
        _trace_once(replace(config, num_layers=layers, num_interactions=modules), inputs, prepare, half, backend)
        for layers, modules in depths
    )
    (first, met), _, (last, _) = depths
    layer = deeper.plus(plain, -1)
    exchange = crossing.plus(plain, -1).plus(layer, first - last)
    modules = sum(config.interaction_of(number) is not None for number in range(config.num_layers))
    layers = Trace().plus(layer, config.num_layers).plus(exchange, modules)
    whole = plain.plus(layer, config.num_layers - first).plus(exchange, modules - met)
    return DeepTrace(whole, layers, layer.plus(exchange) if modules else layer)


def _depths(config: ModelConfig, prepare: Callable[[JointModel], None], half: bool) -> tuple[tuple[int, int], ...]:
    """Layers and interactions of the networks that are traced."""
    if any(not weight.requires_grad for weight in _skeleton(config, prepare)):
        return AMONG_OTHERS
    return AFTER_EXCHANGE if half and config.num_interactions else ALONE


def _skeleton(config: ModelConfig, prepare: Callable[[JointModel], None]) -> list[nn.Parameter]:
    """Weights, without memory, of the shallowest network that has every kind of them."""
    with torch.device("meta"):
        model = JointModel(replace(config, num_layers=1, num_interactions=1))
        prepare(model)
    return list(model.parameters())


def _trace_once(
    config: ModelConfig, inputs: Inputs, prepare: Callable[[JointModel], None], half: bool, backend: Backend
) -> Trace:
    """Run a pass of a shallow network on tensors without memory."""
    with torch.device("meta"):
        model = TracedModel(config, backend)
        prepare(model)
    with _nowhere(half):
        if half:
            _place(model)
        kept, copies, shapes = {}, {}, {tuple(value.shape) for value in model.parameters() if value.ndim > 1}
        own = {storage_of(parameter) for parameter in model.parameters()}

        def keep(tensor: Tensor) -> Tensor:
            key = storage_of(tensor)
            if key not in own:
                (copies if _is_copy(tensor, shapes) else kept)[key] = tensor.untyped_storage().nbytes()
            return tensor

        forward, backward = FlopCounterMode(display=False), FlopCounterMode(display=False)
        casting = torch.autocast("cpu", torch.bfloat16, enabled=half)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), casting, forward:
            loss = _loss(model, inputs)
        with backward:
            loss.backward()
        matrices = set(split_parameters(model)[0])
        trained = [(name, value.numel()) for name, value in model.named_parameters() if value.requires_grad]
        return Trace(
            trained=sum(count for _, count in trained),
            frozen=sum(value.nbytes for value in model.parameters() if not value.requires_grad),
            muon=sum(count for name, count in trained if name in matrices),
            copies=sum(copies.values()),
            kept=sum(kept.values()),
            streams=sum(size for key, size in model.streams.items() if key not in own),
            forward=forward.get_total_flops(),
            backward=backward.get_total_flops(),
        )


def _loss(model: JointModel, inputs: Inputs) -> Tensor:
    """A loss that reaches every output of a joint pass."""
    text, count = model.config.text, inputs.batch
    video = torch.zeros(count, model.config.latent_channels, *inputs.video)
    audio = torch.zeros(count, inputs.mel_frames, model.config.mel_bins)
    voice = torch.zeros(count, inputs.voice_frames, model.config.mel_bins)
    conditions = Conditions(
        caption=torch.zeros(count, text.caption_length, text.caption_dim),
        speech_ids=torch.zeros(count, CHARACTERS, dtype=torch.long),
        speech_lengths=torch.full((count,), CHARACTERS),
        reference_image=video[:, :, :1] if inputs.image else None,
        reference_audio=voice if inputs.voice_frames else None,
        interaction=inputs.interaction,
    )
    times = torch.zeros(count, inputs.video[0]), torch.zeros(count, inputs.mel_frames)
    output = model(video, audio, times, conditions, tuple(time.bool() for time in times))
    loss = output.video.float().square().mean() + output.audio.float().square().mean()
    return loss + output.face_masks.float().square().mean() if output.face_masks.numel() else loss


def storage_of(tensor: Tensor) -> int:
    """What tells a tensor's memory from another's while both live."""
    return tensor.untyped_storage()._cdata


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield every tensor in nested dataclasses and tuples."""
    if torch.is_tensor(value):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from tensors_in(item)
    elif is_dataclass(value):
        yield from tensors_in(tuple(getattr(value, field.name) for field in fields(value)))


def _place(model: nn.Module) -> None:
    """Put weights that were made on the meta device on a CPU that is not there."""
    for module in model.modules():
        for name, value in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.empty(value.shape, dtype=value.dtype), value.requires_grad))


def _is_copy(tensor: Tensor, shapes: set[tuple[int, ...]]) -> bool:
    """Whether a kept tensor is a weight in another dtype, as it is or transposed."""
    if not {tuple(tensor.shape), tuple(tensor.shape[::-1])} & shapes:
        return False
    node = tensor.grad_fn
    while node is not None and node.name() in ("TBackward0", "ToCopyBackward0"):
        node = node.next_functions[0][0]
    return not tensor.requires_grad or (node is not None and node.name().endswith("AccumulateGrad"))


@contextmanager
def _nowhere(half: bool) -> Iterator[None]:
    """Make tensors without memory: on the meta device, or as if on a CPU, which is slower, but there they are cast."""
    with FakeTensorMode(allow_non_fake_inputs=True) if half else nullcontext(), torch.device("cpu" if half else "meta"):
        yield
