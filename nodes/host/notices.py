"""Notices for the user, which are logged and shown as messages in the editor, and errors before a workflow runs."""

import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

import comfy.model_management
import comfy.utils
from comfy_api.latest import io
from comfy_execution.utils import get_executing_context

UI_KEY = "uniavgen_notices"
"""Key of the notices in a node's UI output, which ``web/notices.js`` shows."""
EVENT = "uniavgen.notice"
"""Type of the message that ``announce`` sends, which ``web/notices.js`` shows too."""


def with_notices(notices: Sequence[str], *values: Any) -> io.NodeOutput:
    """Output of a node, with notices for the user, which are whole sentences."""
    for notice in notices:
        logging.info("UniAVGen: %s", notice)
    return io.NodeOutput(*values, ui={UI_KEY: list(notices)}) if notices else io.NodeOutput(*values)


def announce(notice: str) -> None:
    """Send a notice, a whole sentence, to the user during the execution of any node."""
    logging.info("UniAVGen: %s", notice)
    server, context = running_server(), get_executing_context()
    if server is not None:
        source = {} if context is None else {"node": context.node_id, "prompt_id": context.prompt_id}
        server.send_sync(EVENT, {"notice": notice, **source}, server.client_id)


def error_of(check: Callable[..., Any], *args: Any) -> str | None:
    """Message of the ``ValueError`` that a call raises, for ``validate_inputs``; None if it raises none."""
    try:
        check(*args)
    except ValueError as error:
        return str(error)
    return None


def show_progress(text: str) -> None:
    """Show a progress text on the node that is running; it stays until the next text."""
    server, context = running_server(), get_executing_context()
    if server is not None and context is not None:
        lines = text.replace("\n", "  \n")  # Nodes 2.0 reads Markdown, where two spaces keep the end of a line
        server.send_progress_text(lines, context.node_id, server.client_id)


def interruptible_progress(total: int) -> Callable[[], None]:
    """Callback for every step of some work: advances the progress bar, and raises if the user cancelled the run."""
    bar = comfy.utils.ProgressBar(total)

    def step() -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update(1)

    return step


def running_server() -> Any:
    """ComfyUI's server, or None if the nodes run without one.

    The module is looked up instead of imported, because ComfyUI has imported it by then if a server runs.
    """
    return getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
