"""What the pack tells its user beside a result: in the log, and as a message in the editor."""

import logging
import sys
from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io
from comfy_execution.utils import get_executing_context

UI_KEY = "uniavgen_notices"
"""Name in a node's UI output; ``web/notices.js`` shows what it holds."""
EVENT = "uniavgen.notice"
"""Kind of the message that ``announce`` sends; ``web/notices.js`` shows it too."""


def with_notices(notices: Sequence[str], *values: Any) -> io.NodeOutput:
    """Result of a node that has something to say about its input.

    Args:
        notices: Whole sentences for the user; none for nothing to say.
        values: The node's outputs.
    """
    for notice in notices:
        logging.info("UniAVGen: %s", notice)
    return io.NodeOutput(*values, ui={UI_KEY: list(notices)} if notices else None)


def announce(notice: str) -> None:
    """Tell the user something while a node runs, whichever node it is.

    Args:
        notice: A whole sentence.
    """
    logging.info("UniAVGen: %s", notice)
    server, place = running_server(), get_executing_context()
    if server is not None:
        where = {} if place is None else {"node": place.node_id, "prompt_id": place.prompt_id}
        server.send_sync(EVENT, {"notice": notice, **where}, server.client_id)


def show_progress(text: str) -> None:
    """Show where a long job is, on the node that runs; the text stays until the node shows another."""
    server, place = running_server(), get_executing_context()
    if server is not None and place is not None:
        server.send_progress_text(text, place.node_id, server.client_id)


def running_server() -> Any:
    """ComfyUI's server, None where the nodes run without one. Not imported: where it runs, it has been."""
    return getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
