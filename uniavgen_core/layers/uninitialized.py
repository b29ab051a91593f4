"""Building networks whose weights come later: without memory, and without the time that initial values take."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class _SkippedInitialization(TorchFunctionMode):
    """Functions of ``torch.nn.init`` return their tensor as it is.

    On the meta device they would write nothing, but import PyTorch's compiler, which takes most of a second.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == torch.nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextmanager
def uninitialized() -> Iterator[None]:
    """Build networks on the meta device, with shapes and dtypes alone; ``load_state_dict(assign=True)`` fills them."""
    with torch.device("meta"), _SkippedInitialization():
        yield
