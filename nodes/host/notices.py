"""What a node tells its user beside its result: in the log, and as a message in the editor."""

import logging
from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io

UI_KEY = "uniavgen_notices"
"""Name in a node's UI output; ``web/notices.js`` shows what it holds."""


def with_notices(notices: Sequence[str], *values: Any) -> io.NodeOutput:
    """Result of a node that has something to say about its input.

    Args:
        notices: Whole sentences for the user; none for nothing to say.
        values: The node's outputs.
    """
    for notice in notices:
        logging.info("UniAVGen: %s", notice)
    return io.NodeOutput(*values, ui={UI_KEY: list(notices)} if notices else None)
