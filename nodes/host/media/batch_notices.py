"""Notices where a node uses only the first of several pictures or sounds."""

from torch import Tensor


def batch_notices(batch: Tensor | None, what: str) -> list[str]:
    """A notice if a batch holds more than one.

    Args:
        batch: Pictures or sounds along the first axis; None for none.
        what: What it is called, as in "the image".
    """
    if batch is None or len(batch) <= 1:
        return []
    return [f"{what[:1].upper()}{what[1:]} is a batch of {len(batch)}, of which only the first is used."]
