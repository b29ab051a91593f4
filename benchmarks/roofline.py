"""Least time of one sampling step on a card, computed: what every operator calculates and what it moves.

The released network runs in bfloat16 as the pack runs it on a CUDA device, with ComfyUI's layers and kernels, but on
tensors without memory, and beside it ComfyUI's own Wan2.2 network. An operator takes the longer of two times: its
arithmetic at the speed of a large product, and the bytes that it reads and writes at the speed of memory. Launches,
caches and kernels that reach neither speed are not seen: seconds are a bound, and the ratio of two networks tells more.
Steps on several cards are predicted the same way, with what the cards send to each other (``traffic``).
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from tools.pack import load_pack
from uniavgen_core.checkpoint.wan_files import wan_names
from uniavgen_core.config import RELEASED, ModelConfig
from uniavgen_core.model.alignment import context_groups
from uniavgen_core.model.joint import JointModel
from uniavgen_core.parallel.split_model import SplitJointModel
from uniavgen_core.shapes import AVShape
from uniavgen_core.training.memory_trace import COUNTED

from .cpu import run_video
from .cuda import PASSES, STEPS
from .flops import SIZES, TERA, VIDEO_FRAMES, run_pass, step_of, step_passes
from .peers import comfy_backend, comfy_ops, comfyui_wan
from .traffic import LoneGroup, plan_of, scaling, scaling_lines
from .train import default_dtype

ATTENTION, PRODUCTS, REST = KINDS = ("attention", "products", "rest")
SPEEDS, LINKS = ("teraflop", "terabyte"), ("nvlink", "pcie")
MADE = ("empty", "new_empty", "empty_like", "empty_strided", "detach", "_unsafe_view")
"""Operators that move nothing, though they are no views."""
GATHERS = ("index", "index_select", "embedding")
"""Operators that read of their first argument only as much as they return."""


# torch's RuntimeEstimator asks for a CUDA device and takes the speeds of that one; here any card can be asked about.
class Roofline(TorchDispatchMode):
    """Adds up floating point operations, bytes moved and least seconds of operators, by their kind."""

    def __init__(self, teraflop: float, terabyte: float) -> None:
        super().__init__()
        self.speeds = teraflop * TERA, terabyte * TERA
        self.flop, self.moved, self.seconds = (dict.fromkeys(KINDS, 0.0) for _ in range(3))
        self.operators = 0

    def __torch_dispatch__(self, operator: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run an operator and count it."""
        result = operator(*args, **(kwargs or {}))
        count = flop_registry.get(operator._overloadpacket)
        flop = count(*args, **(kwargs or {}), out_val=result) if count else 0
        given = (args, {name: value for name, value in (kwargs or {}).items() if name != "out"})
        moved = bytes_moved(operator, given, result)
        kind = REST if count is None else ATTENTION if "attention" in operator.name() else PRODUCTS
        self.flop[kind] += flop
        self.moved[kind] += moved
        self.seconds[kind] += max(flop / self.speeds[0], moved / self.speeds[1])
        self.operators += moved > 0
        return result


def bytes_moved(operator: Any, given: Any, result: Any) -> int:
    """Bytes that an operator reads and writes at least; 0 for one that only looks at a tensor in another way."""
    name = operator._overloadpacket.__name__
    if operator.is_view or operator.namespace == "prim" or name in MADE:
        return 0
    read, written = ([x for x in tree_leaves(each) if torch.is_tensor(x)] for each in (given, result))
    if name in GATHERS:
        return 2 * sum(map(_size, written))
    changed = read[:1] if operator._schema.is_mutable and not written else []
    if name == "copy_":
        read = read[1:]
    return sum(map(_size, (*read, *written, *changed)))


def _size(tensor: Tensor) -> int:
    """Bytes of a tensor, each place in memory counted once."""
    lengths = [n if stride else 1 for n, stride in zip(tensor.shape, tensor.stride(), strict=True)]
    return torch.Size(lengths).numel() * tensor.element_size()


def count(run: Callable[[], Any], teraflop: float, terabyte: float) -> Roofline:
    """Count a run on tensors without memory."""
    with torch.no_grad(), Roofline(teraflop, terabyte) as roofline:
        run()
    return roofline


def passes_of(config: ModelConfig, shape: AVShape, device: str = "cuda") -> dict[str, Callable[[], Any]]:
    """The passes of a step, and ComfyUI's video pass, in bfloat16, by name; for where tensors have no memory."""
    model = joint_model(config, device)
    options = {"optimized_attention_override": lambda _, q, k, v, heads, **__: COUNTED.attention(q, k, v, heads)}
    weights = wan_names(model.state_dict())
    wan = partial(comfyui_wan(config, weights, device, torch.bfloat16), transformer_options=options)
    return joint_passes(model, shape) | {"comfyui_video_pass": partial(run_video, wan, model, shape)}


def joint_model(config: ModelConfig, device: str = "cuda", form: Callable[..., JointModel] = JointModel) -> JointModel:
    """The network as the pack runs it in bfloat16.

    Attention is a fused kernel, which PyTorch chooses only where it finds a device.
    """
    dtype = torch.bfloat16
    backend = comfy_backend(comfy_ops("cpu").disable_weight_init, device, dtype)
    with default_dtype(dtype):
        return form(config, backend=replace(backend, attention=COUNTED.attention))


def joint_passes(model: JointModel, shape: AVShape) -> dict[str, Callable[[], Any]]:
    """The passes of a step, by name."""
    return {name: partial(run_pass, model, shape, one) for name, one in zip(PASSES, step_passes(), strict=True)}


def with_kernels() -> AbstractContextManager:
    """Let ComfyUI's kernels run, which it has only where there is a card."""
    return patch.object(load_pack().nodes.host.model.comfy_backend, "fused", lambda *_: True)


@contextmanager
def without_memory(config: ModelConfig, shape: AVShape) -> Iterator[None]:
    """Let networks run on a card that is not there."""
    # Kept from here on; it is made from numbers, which tensors without memory have not.
    context_groups(shape.mel_frames, shape.latent_frames, config.variant)
    comfy_ops("cpu")  # ComfyUI is imported first, so that the pack finds it.
    load_pack()  # Its constants must not become fake tensors.
    with FakeTensorMode(), torch.device("cuda"), with_kernels():
        yield


def report(config: ModelConfig, shape: AVShape, teraflop: float, terabyte: float) -> dict:
    """Count a step and ComfyUI's video pass at one size, for a card of these speeds."""
    with without_memory(config, shape):
        counted = {name: count(run, teraflop, terabyte) for name, run in passes_of(config, shape).items()}
    video = counted["comfyui_video_pass"]

    def step(of: Callable[[Roofline], float]) -> float:
        return round(step_of(*(of(counted[name]) for name in PASSES)), 6)

    seconds = step(lambda one: sum(one.seconds.values()))
    floor = step(lambda one: sum(one.flop.values())) / (teraflop * TERA)
    return {
        "size": shape.label,
        "step_seconds": {kind: step(lambda one, kind=kind: one.seconds[kind]) for kind in KINDS},
        "video_pass_seconds": {kind: round(one, 6) for kind, one in video.seconds.items()},
        "clip_seconds": round(STEPS * seconds, 2),
        "step_over_floor": round(seconds / floor, 4),
        "step_over_video": round(seconds / (2 * sum(video.seconds.values())), 4),
        "step_terabytes": step(lambda one: sum(one.moved.values()) / TERA),
        "step_operators": step(lambda one: one.operators),
        "video_pass_operators": video.operators,
    }


def seconds_on(config: ModelConfig, shape: AVShape, speeds: tuple[float, float], cards: int) -> float:
    """Seconds of a step on the first of several cards, which has the most latents, without what it sends.

    What every card repeats is counted (embeddings, keys and values of the texts), and copies for the exchanges.

    Args:
        config: The model's.
        shape: Size of the clip.
        speeds: Teraflop and terabytes a second of a card.
        cards: Number of cards.
    """
    form = JointModel if cards == 1 else partial(SplitJointModel, group=LoneGroup(0, cards))
    plan_of(config, shape, cards)  # Kept from here on, as the tables of ``without_memory`` are.
    with without_memory(config, shape):
        passes = joint_passes(joint_model(config, form=form), shape)
        counted = {name: count(run, *speeds) for name, run in passes.items()}
    return step_of(*(sum(counted[name].seconds.values()) for name in PASSES))


def add_options(parser: ArgumentParser) -> None:
    """Speeds of the cards and of the links between them; an H200's by default, five sixths of what it is sold with."""
    parser.add_argument("--teraflop", type=float, default=790, help="of a large bfloat16 product in a second")
    parser.add_argument("--terabyte", type=float, default=4, help="read and written in a second")
    parser.add_argument("--nvlink", type=float, default=375, help="gigabytes sent by a card in a second over NVLink")
    parser.add_argument("--pcie", type=float, default=53, help="the same over PCIe 5.0 with 16 lanes")


def measure(options: Namespace) -> dict:
    """Count every size."""
    speeds, links = ({name: getattr(options, name) for name in names} for names in (SPEEDS, LINKS))
    sizes = []
    for shape in (AVShape(*size, VIDEO_FRAMES) for size in SIZES):
        on_cards = scaling(RELEASED, shape, partial(seconds_on, RELEASED, shape, tuple(speeds.values())), links)
        sizes.append(report(RELEASED, shape, **speeds) | {"cards": on_cards})
    return speeds | links | {"sizes": sizes}


def table(results: dict) -> str:
    """Results as text."""
    lines = [
        f"Computed for {results['teraflop']:g} teraflop and {results['terabyte']:g} terabyte a second; {STEPS} steps",
        f"Several cards: NVLink of {results['nvlink']:g} and PCIe of {results['pcie']:g} gigabyte a second each way",
    ]
    for size in results["sizes"]:
        lines += ["", size["size"], f"{'seconds':24}" + "".join(f"{kind:>11}" for kind in (*KINDS, "all"))]
        for title, key in (("step", "step_seconds"), ("ComfyUI's video pass", "video_pass_seconds")):
            values = [size[key][kind] for kind in KINDS]
            lines.append(f"{title:24}" + "".join(f"{value:11.4f}" for value in (*values, sum(values))))
        for name in ("clip_seconds", "step_over_floor", "step_over_video", "step_terabytes"):
            lines.append(f"{name:24}{size[name]:11.3f}")
        lines.append(
            f"{'operators':24}{size['step_operators']:11.0f} for {2 * size['video_pass_operators']} of two video passes"
        )
        lines += scaling_lines(size["cards"])
    return "\n".join(lines)
