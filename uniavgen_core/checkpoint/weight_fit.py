"""Comparison of a file's tensors with a network: required ones must be present, unused ones are reported."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .checked_files import CheckpointError, shown
from .config_from_weights import Shapes

NAMES_SHOWN = 5
PLAIN_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Fit:
    """Differences between a file's tensors and a network that can still be loaded from them.

    Attributes:
        unused: Names of tensors in the file that the network does not have.
        absent: Name to shape of optional tensors that the file does not have.
    """

    unused: tuple[str, ...] = ()
    absent: Shapes = field(default_factory=dict)

    def fitted(self, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """Drop the unused ones of the file's tensors, and add zeros for the absent ones."""
        unused = set(self.unused)
        kept = {name: tensor for name, tensor in tensors if name not in unused}
        dtype = next((tensor.dtype for tensor in kept.values() if tensor.dtype in PLAIN_DTYPES), torch.float32)
        return kept | {name: torch.zeros(tuple(shape), dtype=dtype) for name, shape in self.absent.items()}

    def notices(self, name: str) -> list[str]:
        """Notices for the user about the file or folder ``name``, whole sentences; none if it fits exactly."""
        notices = []
        if self.unused:
            count = len(self.unused)
            tensors, are = ("a tensor", "It is") if count == 1 else (f"{count} tensors", "They are")
            names = first_names(self.unused)
            notices.append(f"{name} holds {tensors} that the network does not have. {are} ignored: {names}.")
        if self.absent:
            notices.append(
                f"{name} has no {first_names(list(self.absent))}. It only pads batches of audio of different lengths, "
                "so nothing changes."
            )
        return notices


def check_fit(shapes: Shapes, expected: Shapes, optional: Iterable[str] = ()) -> Fit:
    """Compare a file's tensors with a network's.

    Args:
        shapes: Tensor name to shape, of the file.
        expected: Tensor name to shape, of the network.
        optional: Names of the network's tensors that may be absent.

    Raises:
        CheckpointError: If tensors are missing or have the wrong shape; the message also names unexpected ones.
    """
    optional = set(optional)
    missing = [name for name in expected if name not in shapes]
    unused = [name for name in shapes if name not in expected]
    misshapen = [
        f"{name} is {tuple(shapes[name])}, not {tuple(expected[name])}"
        for name in expected
        if name in shapes and tuple(shapes[name]) != tuple(expected[name])
    ]
    needed = [name for name in missing if name not in optional]
    if needed or misshapen:
        raise misfit(missing=needed, unexpected=unused, misshapen=misshapen)
    return Fit(tuple(unused), {name: expected[name] for name in missing})


def misfit(**faults: Sequence[str]) -> CheckpointError:
    """Error for tensors that do not fit, their names by kind of fault."""
    found = [f"{len(names)} {fault}: {first_names(names)}" for fault, names in faults.items() if names]
    return CheckpointError("The checkpoint does not fit the model. " + "; ".join(found) + ".")


def first_names(names: Sequence[str]) -> str:
    """First few names, and the number of the others."""
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(map(shown, names[:NAMES_SHOWN])) + more
