"""Low-rank adapters on either branch or both, in files that ComfyUI's own LoRA loader takes.

The layers are peft's, put into the joint network itself, which keeps its class. Source: LoRA (arXiv:2106.09685).
Dimension key: R rank, I inputs and O outputs of an adapted layer.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..atomic_write import atomic_write
from ..checkpoint.checked_files import naming
from ..checkpoint.load_weights import read_tensors
from ..checkpoint.weight_fit import check_fit
from ..config import to_dict
from ..model.joint import JointModel
from .active_adapter import activate

PREFIX = "diffusion_model."
"""Prefix of ComfyUI's generic key style before the network's own names."""
METADATA_KEY = "uniavgen_lora"
ADAPTER = "default"
PARTS = ("lora_A", "lora_B")
"""Down to the rank, (R, I), and up from it, (O, R)."""
UP, ALPHA = f".{PARTS[1]}.weight", ".alpha"
"""Ends of names in files."""


class LoraBranch(Enum):
    """Branches whose blocks have adapters."""

    VIDEO = "video"
    AUDIO = "audio"
    BOTH = "both"


BLOCKS = {
    LoraBranch.VIDEO: ("blocks.",),
    LoraBranch.AUDIO: ("audio_blocks.",),
    LoraBranch.BOTH: ("blocks.", "audio_blocks."),
}
INTERACTIONS = ("a2v_blocks.", "v2a_blocks.")


@dataclass(frozen=True)
class LoraPlan:
    """Layers that have adapters, and the size of these.

    Attributes:
        branch: Whose blocks.
        interactions: Whether the layers of cross-modal attention have them too.
        rank: Width of an adapter.
        alpha: What it adds is multiplied by ``alpha / rank``.
        dropout: Share of an adapter's inputs that are dropped in training.
        targets: Ends of the names of adapted linear layers; ``q`` is that of every attention of a block.

    Raises:
        ValueError: If a number is out of its range, or there are no targets.
    """

    branch: LoraBranch = LoraBranch.BOTH
    interactions: bool = False
    rank: int = 32
    alpha: float = 32.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("q", "k", "v", "o", "ffn.0", "ffn.2")

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", tuple(self.targets))
        if self.rank < 1:
            raise ValueError(f"rank is {self.rank}; it must be at least 1.")
        if self.alpha <= 0:
            raise ValueError(f"alpha is {self.alpha}; it must be positive.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must be at least 0 and less than 1.")
        if not self.targets:
            raise ValueError("targets names no layers.")

    def layers_of(self, model: JointModel) -> list[str]:
        """Names of the network's layers that the plan adapts.

        Raises:
            ValueError: If a target is the end of no linear layer's name.
        """
        starts = BLOCKS[self.branch] + (INTERACTIONS if self.interactions else ())
        kinds = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
        linear = [name for name in kinds if name.startswith(starts)]
        absent = [end for end in self.targets if not any(name.endswith(f".{end}") for name in linear)]
        if absent:
            raise ValueError(f"No linear layer of the chosen blocks is named {', '.join(absent)}. Change targets.")
        return [name for name in linear if name.endswith(tuple(f".{end}" for end in self.targets))]


def add_lora(model: JointModel, plan: LoraPlan, names: Sequence[str] = (ADAPTER,)) -> None:
    """Add adapters that change nothing yet, and freeze everything else; adapters are float32.

    Args:
        model: The network.
        plan: Layers and size of the adapters.
        names: Names of the sets of adapters, of which the first is active; see ``active_adapter`` for the others.

    Raises:
        ImportError: If peft is not installed.
        ValueError: If the network has adapters already, or a target names no layer.
    """
    peft = _peft()
    if has_lora(model):
        raise ValueError("The network has adapters already.")
    layers = plan.layers_of(model)
    for adapter in names:
        config = peft.LoraConfig(r=plan.rank, lora_alpha=plan.alpha, lora_dropout=plan.dropout, target_modules=layers)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Already found a `peft_config`")  # A second set is wanted.
            peft.inject_adapter_in_model(config, model, adapter)
    for name, parameter in model.named_parameters():
        adapting = any(is_lora(name, adapter) for adapter in names)
        parameter.requires_grad_(adapting)
        if adapting:
            parameter.data = parameter.data.float()
    activate(model, names[0])


def is_lora(name: str, adapter: str = ADAPTER) -> bool:
    """True if a parameter, by its name in the network, is one of a set of adapters."""
    return any(f".{part}.{adapter}." in name for part in PARTS)


def has_lora(model: nn.Module) -> bool:
    """True if the network has adapters."""
    return any(is_lora(name) for name, _ in model.named_parameters())


def lora_tensors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Pick the adapters from weights named as in the network, and name them as in a file."""
    return {
        PREFIX + name.replace(f".{ADAPTER}.", "."): value.detach() for name, value in weights.items() if is_lora(name)
    }


def save_lora(
    model: JointModel,
    path: Path | str,
    plan: LoraPlan,
    weights: Mapping[str, Tensor] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write adapters for ComfyUI's LoRA loader; the file appears under its name when it is whole.

    Args:
        model: The network with adapters.
        path: The safetensors file to write; one that is there is replaced.
        plan: The plan they were added by; it goes into the metadata.
        weights: Weights by the network's names to write instead, such as their average.
        metadata: Further entries of the file's metadata.

    Raises:
        ValueError: If there are no adapters.
    """
    tensors = lora_tensors(model.state_dict() if weights is None else weights)
    if not tensors:
        raise ValueError("There are no adapters to save. Add them with add_lora.")
    alphas = {name.removesuffix(UP) + ALPHA: torch.tensor(plan.alpha) for name in tensors if name.endswith(UP)}
    content = {name: value.cpu().contiguous() for name, value in (tensors | alphas).items()}
    entries = {**(metadata or {}), "format": "pt", METADATA_KEY: json.dumps(to_dict(plan))}
    with atomic_write(Path(path)) as partial:
        save_file(content, partial, metadata=entries)


@torch.no_grad()
def start_from_lora(model: JointModel, path: Path | str, plan: LoraPlan) -> None:
    """Set adapters to those of a file, to train them further.

    Args:
        model: The network with adapters.
        path: A file that ``save_lora`` wrote.
        plan: The plan that the network's adapters were added by.

    Raises:
        CheckpointError: If the file cannot be read, or lacks adapters of a layer, or they are of another rank.
    """
    given, _ = read_tensors(path)
    own = {name.removeprefix(PREFIX): value for name, value in lora_tensors(model.state_dict()).items()}
    with naming(Path(path)):
        check_fit({name: x.shape for name, x in given.items()}, {name: x.shape for name, x in own.items()})
        # What adapters add is multiplied by the plan's alpha, which may be another than the file's.
        shares = {name: given[name.removesuffix(UP) + ALPHA] / plan.alpha for name in own if name.endswith(UP)}
    for name, value in own.items():
        value.copy_(given[name] * shares.get(name, 1.0))


@torch.no_grad()
def merge_lora(model: JointModel, path: Path | str) -> None:
    """Add the adapters of a file to the weights of a network without adapters.

    Args:
        model: The network.
        path: A file that ``save_lora`` wrote.

    Raises:
        CheckpointError: If the file cannot be read.
        ValueError: If the file has adapters of layers that the network lacks.
    """
    tensors, weights = read_tensors(path)[0], dict(model.named_parameters())
    for alpha in (name for name in tensors if name.endswith(ALPHA)):
        layer = alpha.removesuffix(ALPHA)
        down, up = (tensors[f"{layer}.{part}.weight"] for part in PARTS)
        if f"{layer}.weight" not in weights:
            raise ValueError(f"{path} has adapters of {layer}, a layer that the network lacks.")
        weight = weights[f"{layer}.weight"]
        weight += (tensors[alpha] / len(down) * (up @ down)).to(weight)


def _peft() -> ModuleType:
    try:
        import peft
    except ImportError as error:
        raise ImportError("Training a LoRA needs the package peft: pip install peft") from error
    return peft
