"""Notices from nodes that use only the first of several pictures or sounds."""

from torch import Tensor


def batch_notices(batch: Tensor | None, name: str) -> list[str]:
    """Notice about a batch of more than one picture or sound.

    Args:
        batch: Pictures or sounds along the first axis; None for none.
        name: Name of the batch in the notice, such as ``the image``.
    """
    if batch is None or len(batch) <= 1:
        return []
    return [f"{name[:1].upper()}{name[1:]} is a batch of {len(batch)}, of which only the first is used."]
