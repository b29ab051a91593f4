"""Checks of a configuration that a file's metadata give, before anything is built from it.

Types come from the config's dataclasses and sizes from the file's own tensors; what tensors do not give has bounds.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from typing import Any, get_type_hints

from ..config import RENAMED, ModelConfig
from .checked_files import CheckpointError, parse_object, shown

MOST_LAYERS = 256
"""Most layers of a network; the release has 30."""
LARGEST_SIZE = 1 << 20
BOUNDS: dict[str, tuple[float, float]] = {
    "num_layers": (1, MOST_LAYERS),
    "num_interactions": (0, MOST_LAYERS),
    "speech_blocks": (1, MOST_LAYERS),
    "patch_size": (1, 64),
    "caption_length": (1, 4096),
    "half_window_frames": (0, 256),
    "position_scale": (1e-3, 1e4),
    "position_margin": (0.0, 60.0),
    "position_offset": (-1e5, 1e5),
}
"""Smallest and largest value of a field; other whole numbers are sizes, from 1 to ``LARGEST_SIZE``."""
KINDS = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text"}


def check_types(kind: type, values: Mapping[str, Any], subject: str) -> None:
    """Check that plain values have the types of a config's fields; unknown names are left to ``from_dict``.

    Args:
        kind: The dataclass.
        values: Values by field names, as read from JSON.
        subject: Where they come from, as the subject of a sentence.

    Raises:
        CheckpointError: If a value has another type, or a number is not finite; the message names the field.
    """
    hints, now = get_type_hints(kind), RENAMED.get(kind, {})
    for said, value in values.items():
        hint = hints.get(now.get(said, (said,))[0])
        if isinstance(hint, type) and is_dataclass(hint):
            if not isinstance(value, Mapping):
                raise CheckpointError(f"{subject} gives {shown(said)} as {shown(repr(value))}; it must be an object.")
            check_types(hint, value, subject)
        elif hint in KINDS and not _is(hint, value):
            raise CheckpointError(f"{subject} gives {said} as {shown(repr(value))}; it must be {KINDS[hint]}.")


def read_entry(kind: type, text: Any, key: str, build: Callable[..., Any] | None = None) -> Any:
    """Build a dataclass from an entry of a file's metadata.

    Args:
        kind: The dataclass.
        text: The entry, JSON of the fields that are not the default.
        key: Its name.
        build: Takes the fields in place of ``kind``, where JSON has other types.

    Raises:
        CheckpointError: If it cannot be read; the message names the entry and what is wrong.
    """
    subject = f"The file's metadata entry {key}"
    values = parse_object(text, subject)
    unknown = set(values) - {field.name for field in fields(kind)}
    try:
        if unknown:
            raise ValueError(f"it has no field named {', '.join(sorted(map(shown, unknown)))}")
        check_types(kind, values, subject)
        return (build or kind)(**values)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{subject} cannot be read: {shown(error).rstrip('.')}. Get the file again.") from error


def check_bounds(config: Any) -> None:
    """Check that the numbers of a config are ones that a network can have.

    Raises:
        CheckpointError: If one is not; the message names the field and its bounds.
    """
    for name, value in _numbers(config):
        low, high = BOUNDS.get(name.rpartition(".")[2], (1, LARGEST_SIZE))
        if not low <= value <= high:
            raise CheckpointError(f"{name} would be {value}; it must be between {low} and {high}.")


def check_agreement(config: ModelConfig, sizes: Mapping[str, int], subject: str) -> None:
    """Check that metadata contradict no size that the tensors of the file have.

    Args:
        config: The configuration, with the values of metadata.
        sizes: Path of a field, such as ``video.dim``, to the size that the tensors have.
        subject: The metadata, as the subject of a sentence.

    Raises:
        CheckpointError: If they do; the message names the field and both values.
    """
    found = dict(_numbers(config))
    for name, size in sizes.items():
        if found[name] != size:
            raise CheckpointError(f"{subject} says that {name} is {found[name]}; by the file's tensors it is {size}.")


def _is(hint: Any, value: Any) -> bool:
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    if hint is float:
        return isinstance(value, (int, float)) and isfinite(value)
    return isinstance(value, hint)


def _numbers(config: Any, prefix: str = "") -> Iterator[tuple[str, int | float]]:
    """Path and value of each number in a config."""
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            yield from _numbers(value, f"{prefix}{field.name}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield prefix + field.name, value
