"""The fit of a file's tensors to a network: those it needs must be there, those it does not need are named."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .config_from_weights import Shapes
from .weight_files import CheckpointError

NAMES_SHOWN = 5
PLAIN_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Fit:
    """The fit of a file's tensors to a network that can be loaded from them.

    Attributes:
        unused: Names in the file that the network has no place for.
        absent: Name to shape of what the file lacks and the network can do without.
    """

    unused: tuple[str, ...] = ()
    absent: Shapes = field(default_factory=dict)

    def fitted(self, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """The file's tensors without the unused ones, and with zeros for the absent ones.

        Args:
            tensors: Names and tensors of the file.
        """
        unused = set(self.unused)
        kept = {name: tensor for name, tensor in tensors if name not in unused}
        dtype = next((tensor.dtype for tensor in kept.values() if tensor.dtype in PLAIN_DTYPES), torch.float32)
        return kept | {name: torch.zeros(tuple(shape), dtype=dtype) for name, shape in self.absent.items()}

    def notices(self, name: str) -> list[str]:
        """Notices for the user, whole sentences; none where the file fits exactly.

        Args:
            name: The file's or folder's.
        """
        notices = []
        if len(self.unused) == 1:
            notices.append(f"{name} holds a tensor that the network does not have. It is ignored: {self.unused[0]}.")
        elif self.unused:
            count = len(self.unused)
            notices.append(
                f"{name} holds {count} tensors that the network does not have. They are ignored: {some(self.unused)}."
            )
        if self.absent:
            notices.append(
                f"{name} has no {some(list(self.absent))}. It only pads batches of sounds of different lengths, so "
                "nothing changes."
            )
        return notices


def check_fit(shapes: Shapes, expected: Shapes, optional: Iterable[str] = ()) -> Fit:
    """Compare a file's tensors with what a network needs.

    Args:
        shapes: Tensor name to shape, of the file.
        expected: The same, of the network.
        optional: Names of the network's that it can do without.

    Raises:
        CheckpointError: Naming what is missing or misshapen, and then what is unexpected too.
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


def check_exact(shapes: Shapes, expected: Shapes) -> None:
    """Compare a file's tensors with a network's where an unused one would be missed.

    Raises:
        CheckpointError: Naming what is missing, unexpected or misshapen.
    """
    fit = check_fit(shapes, expected)
    if fit.unused:
        raise misfit(unexpected=fit.unused)


def misfit(**faults: Sequence[str]) -> CheckpointError:
    """The error for tensors that do not fit.

    Args:
        faults: Kind of fault to the names of the tensors that have it.
    """
    found = [f"{len(names)} {fault}: {some(names)}" for fault, names in faults.items() if names]
    return CheckpointError("The checkpoint does not fit the model. " + "; ".join(found) + ".")


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
