"""Keys of content: equal for equal values in any process, different where anything differs that is seen.

Objects are compared by their class and attributes, functions by their code and what they close over. What has neither
cannot be identified, and whoever asks for its key must do without one.
"""

import hashlib
from collections.abc import Callable, Iterator
from enum import Enum
from fractions import Fraction
from functools import partial, singledispatchmethod
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor

PLAIN = (type(None), bool, int, float, complex, str, bytes, Enum, Fraction, Path, range, slice)
TORCH = (torch.dtype, torch.device, torch.layout, torch.memory_format)
CHUNK = 1 << 26
"""Bytes of a tensor that are hashed at once."""


class UnidentifiedError(ValueError):
    """A value whose content cannot be seen; the message names its type."""


def key_of(*values: Any) -> str:
    """Key of values: plain ones, containers, tensors, objects and functions.

    Raises:
        UnidentifiedError: If one of them, or something in it, cannot be identified.
    """
    return _Content().digest(values).hex()


class _Content:
    """Digests of nested values; of what is met again, that of the first time."""

    def __init__(self) -> None:
        self.open: list[int] = []
        self.done: dict[int, bytes] = {}
        self.held: list[Any] = []

    def digest(self, value: Any) -> bytes:
        """Digest of a value, equal for equal content."""
        if isinstance(value, (*PLAIN, *TORCH)):
            return hashlib.sha256(f"{type(value).__name__}:{value!r}".encode()).digest()
        if id(value) in self.open:
            return b"around %d" % self.open.index(id(value))
        if id(value) not in self.done:
            self.open.append(id(value))
            whole = hashlib.sha256()
            for part in self._parts(value):
                whole.update(part)
            self.open.pop()
            self.held.append(value)  # else a new object could get the number of one that is gone
            self.done[id(value)] = whole.digest()
        return self.done[id(value)]

    @singledispatchmethod
    def _parts(self, value: Any) -> Iterator[bytes | memoryview]:
        attributes = _attributes_of(value)
        yield _name_of(type(value)).encode()
        yield self.digest(attributes)

    @_parts.register
    def _(self, value: Tensor) -> Iterator[bytes | memoryview]:
        if type(value) not in (Tensor, torch.nn.Parameter):
            raise UnidentifiedError(f"a tensor of the type {_name_of(type(value))}")
        yield f"{value.dtype}{tuple(value.shape)}".encode()
        flat = value.detach().contiguous().flatten()
        for part in flat.split(max(1, CHUNK // max(1, flat.element_size()))):
            yield part.cpu().view(torch.uint8).numpy().data if part.numel() else b""

    @_parts.register
    def _(self, value: np.ndarray) -> Iterator[bytes | memoryview]:
        yield f"{value.dtype}{value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()

    @_parts.register(list)
    @_parts.register(tuple)
    def _(self, value: list | tuple) -> Iterator[bytes | memoryview]:
        yield f"[{len(value)}".encode()
        for item in value:
            yield self.digest(item)

    @_parts.register(set)
    @_parts.register(frozenset)
    def _(self, value: set | frozenset) -> Iterator[bytes | memoryview]:
        yield from sorted(map(self.digest, value))

    @_parts.register
    def _(self, value: dict) -> Iterator[bytes | memoryview]:
        yield f"{{{len(value)}".encode()
        for key in sorted(value, key=self.digest):
            yield self.digest(key)
            yield self.digest(value[key])

    @_parts.register
    def _(self, value: partial) -> Iterator[bytes | memoryview]:
        yield from self._parts([value.func, value.args, value.keywords])

    @_parts.register
    def _(self, value: MethodType) -> Iterator[bytes | memoryview]:
        yield from self._parts([value.__func__, value.__self__])

    @_parts.register
    def _(self, value: FunctionType) -> Iterator[bytes | memoryview]:
        yield _name_of(value).encode()
        closed = [cell.cell_contents for cell in value.__closure__ or () if not _is_empty(cell)]
        yield from self._parts([value.__code__, value.__defaults__, value.__kwdefaults__, closed])

    @_parts.register
    def _(self, value: CodeType) -> Iterator[bytes | memoryview]:
        yield value.co_code
        yield from self._parts([*value.co_names, *value.co_consts])

    @_parts.register(type)
    @_parts.register(BuiltinFunctionType)
    def _(self, value: type | Callable) -> Iterator[bytes | memoryview]:
        yield _name_of(value).encode()


def _name_of(value: Any) -> str:
    """Full name of a class or a function."""
    return f"{value.__module__}.{value.__qualname__};"


def _attributes_of(value: Any) -> dict[str, Any]:
    """Attributes of an object, by name."""
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    if not slots and not hasattr(value, "__dict__"):
        raise UnidentifiedError(f"an object of the type {_name_of(type(value)).strip(';')}")
    return {**{name: getattr(value, name) for name in slots if hasattr(value, name)}, **getattr(value, "__dict__", {})}


def _is_empty(cell: Any) -> bool:
    """True for a closure's variable that has no value yet."""
    try:
        _ = cell.cell_contents
    except ValueError:
        return True
    return False
