"""Memory and arithmetic of one forward and backward pass, found by running it on tensors without memory.

torch's ``FlopCounterMode`` counts the arithmetic. Layers are alike, so three shallow networks are run and the figures
of the whole network follow from their differences.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils.flop_counter import FlopCounterMode

from ..config import Interaction, ModelConfig
from ..layers.backend import Backend
from ..layers.uninitialized import uninitialized
from ..model.alignment_tables import Geometry
from ..model.joint import Conditions, JointModel, JointState
from .optimizer import split_parameters

TRANSCRIPT_LENGTH = 80
"""Characters of a transcript; they cost next to nothing."""


def flash_attention(
    q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, options: Any = None
) -> Tensor:
    """Multi-head attention by the flash kernel, for tensors without memory.

    torch counts the arithmetic of this kernel, and it keeps no scores; it is otherwise chosen only on a device.
    Arguments and result are those of ``layers.backend.attend``; the mask is left out.
    """
    del mask, options
    q, k, v = (rearrange(x.to(v.dtype), "b n (h d) -> b h n d", h=heads) for x in (q, k, v))
    return rearrange(torch.ops.aten._scaled_dot_product_flash_attention(q, k, v)[0], "b h n d -> b n (h d)")


COUNTED = Backend(attention=flash_attention)


@dataclass(frozen=True)
class Trace:
    """Figures of one pass; all grow linearly with layers and interactions.

    Attributes:
        trained: Number of trained weights.
        frozen: Bytes of frozen weights.
        muon: Number of trained weights that Muon trains.
        copies: Bytes of weights cast to bfloat16 for matrix products.
        kept: Bytes of activations that the backward pass needs.
        streams: Bytes of the tensors between layers.
        forward: Floating point operations of the forward pass.
        backward: Floating point operations of the backward pass.
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
        """Add another trace ``times`` times."""
        names = [field.name for field in fields(self)]
        return Trace(**{name: getattr(self, name) + times * getattr(other, name) for name in names})


@dataclass(frozen=True)
class DeepTrace:
    """Figures of a pass of the whole network, and of the layers in it.

    Attributes:
        whole: All layers and everything around them.
        layers: All layers.
        layer: One layer with its interaction.
    """

    whole: Trace
    layers: Trace
    layer: Trace


@dataclass(frozen=True)
class Inputs:
    """Sizes of the network's inputs.

    Attributes:
        batch: Number of clips.
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
    """The joint network, noting the tensors between its layers.

    Attributes:
        streams: Bytes of every storage between layers, by storage.
    """

    def __init__(self, config: ModelConfig, backend: Backend = COUNTED) -> None:
        super().__init__(config, backend)
        self.streams: dict[int, int] = {}

    def run_layer(self, layer: int, state: JointState, interaction: Interaction, options: Any = None) -> JointState:
        """Run one layer."""
        self.streams |= {storage_of(tensor): tensor.untyped_storage().nbytes() for tensor in tensors_in(state)}
        return super().run_layer(layer, state, interaction, options)

    def geometry_of(self, video: Tensor, audio: Tensor) -> Geometry:
        """Tables of the interaction."""
        if video.is_meta:
            return super().geometry_of(video, audio)
        sizes = torch.Size(video.shape), torch.Size(audio.shape)
        with unset_fake_temporarily():  # the tables are made from numbers, which tensors without memory do not have
            return super().geometry_of(*(torch.empty(1, device="cpu").expand(size) for size in sizes))


def trace(
    config: ModelConfig,
    inputs: Inputs,
    prepare: Callable[[JointModel], None] | None,
    half: bool,
    backend: Backend = COUNTED,
) -> DeepTrace:
    """Trace a pass of a network of any depth.

    Args:
        config: Configuration of the network.
        inputs: Sizes of its inputs.
        prepare: Freezes weights or adds adapters; None where every weight is trained.
        half: Whether matrix products run in bfloat16.
        backend: Source of layers and attention.
    """
    # Layers before the first interaction keep other dtypes, and layers before the first trained weight keep less, so
    # only layers behind those are added.
    first, met = 1 if prepare is None else 2, min(1, config.num_interactions)
    plain, deeper, crossing = (
        _trace_once(replace(config, num_layers=layers, num_interactions=modules), inputs, prepare, half, backend)
        for layers, modules in ((first, met), (first + 1, met), (first + 2, 2 * met))
    )
    layer = deeper.plus(plain, -1)
    exchange = crossing.plus(plain, -1).plus(layer, -2)
    modules = sum(config.interaction_of(number) is not None for number in range(config.num_layers))
    layers = Trace().plus(layer, config.num_layers).plus(exchange, modules)
    whole = plain.plus(layer, config.num_layers - first).plus(exchange, modules - met)
    return DeepTrace(whole, layers, layer.plus(exchange))


def _trace_once(
    config: ModelConfig, inputs: Inputs, prepare: Callable[[JointModel], None] | None, half: bool, backend: Backend
) -> Trace:
    """Run a pass of a shallow network."""
    with uninitialized():
        model = TracedModel(config, backend)
        if prepare is not None:
            prepare(model)
    with _without_memory(half) as device:
        model.to_empty(device=device)
        kept, copies, shapes = {}, {}, {tuple(value.shape) for value in model.parameters() if value.ndim > 1}
        own = {storage_of(parameter) for parameter in model.parameters()}

        # Not torch's MemTracker: it counts bfloat16 copies of weights as activations, and it is several times slower.
        def keep(tensor: Tensor) -> Tensor:
            key = storage_of(tensor)
            if key not in own:
                (copies if _is_copy(tensor, shapes) else kept)[key] = tensor.untyped_storage().nbytes()
            return tensor

        with FlopCounterMode(display=False) as counter:
            casting = torch.autocast("cpu", torch.bfloat16, enabled=half)
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), casting:
                loss = _loss(model, inputs)
            forward = counter.get_total_flops()
            loss.backward()
        muon = split_parameters(model)[0]
        return Trace(
            trained=sum(value.numel() for value in model.parameters() if value.requires_grad),
            frozen=sum(value.nbytes for value in model.parameters() if not value.requires_grad),
            muon=sum(model.get_parameter(name).numel() for name in muon),
            copies=sum(copies.values()),
            kept=sum(kept.values()),
            streams=sum(size for key, size in model.streams.items() if key not in own),
            forward=forward,
            backward=counter.get_total_flops() - forward,
        )


def _loss(model: JointModel, inputs: Inputs) -> Tensor:
    """Loss that depends on every output of a joint pass."""
    text, count = model.config.text, inputs.batch
    video = torch.zeros(count, model.config.latent_channels, *inputs.video)
    audio = torch.zeros(count, inputs.mel_frames, model.config.mel_bins)
    voice = torch.zeros(count, inputs.voice_frames, model.config.mel_bins)
    conditions = Conditions(
        caption=torch.zeros(count, text.caption_length, text.caption_dim),
        speech_ids=torch.zeros(count, TRANSCRIPT_LENGTH, dtype=torch.long),
        speech_lengths=torch.full((count,), TRANSCRIPT_LENGTH),
        reference_image=video[:, :, :1] if inputs.image else None,
        reference_audio=voice if inputs.voice_frames else None,
        interaction=inputs.interaction,
    )
    times = torch.zeros(count, inputs.video[0]), torch.zeros(count, inputs.mel_frames)
    output = model(video, audio, times, conditions, tuple(time.bool() for time in times))
    outputs = (output.video, output.audio, output.face_masks)
    return torch.stack([tensor.float().square().mean() for tensor in outputs if tensor.numel()]).sum()


def storage_of(tensor: Tensor) -> int:
    """Key of a tensor's memory, the same for all its views, while it lives."""
    return tensor.untyped_storage()._cdata


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield every tensor in nested dataclasses and tuples."""
    if torch.is_tensor(value):
        yield value
    elif is_dataclass(value):
        value = tuple(getattr(value, field.name) for field in fields(value))
    if isinstance(value, tuple):
        for item in value:
            yield from tensors_in(item)


def _is_copy(tensor: Tensor, shapes: set[tuple[int, ...]]) -> bool:
    """True if a kept tensor is a weight in another dtype, as it is or transposed."""
    if not {tuple(tensor.shape), tuple(tensor.shape[::-1])} & shapes:
        return False
    node = tensor.grad_fn
    while node is not None and node.name() in ("TBackward0", "ToCopyBackward0"):
        node = node.next_functions[0][0]
    return not tensor.requires_grad or (node is not None and node.name().endswith("AccumulateGrad"))


@contextmanager
def _without_memory(half: bool) -> Iterator[str]:
    """Make tensors without memory on the meta device, or slower fake CPU tensors for autocast, which skips meta."""
    device = "cpu" if half else "meta"
    with FakeTensorMode(allow_non_fake_inputs=True) if half else nullcontext(), torch.device(device):
        yield device
