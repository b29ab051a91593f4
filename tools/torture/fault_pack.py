"""A pack for the server that is tortured: it lets one call of a module run out of memory.

Copied into the server's folder of custom nodes, never imported here. ``POST /torture/memory`` with ``{"call": N}`` sets
the call that fails, counted from 0 and from now on, and answers with the number of calls since the last request.
"""

import torch
from aiohttp import web
from server import PromptServer

NODE_CLASS_MAPPINGS: dict[str, type] = {}
_state = {"calls": 0, "failing": -1}


def _count(module: torch.nn.Module, _inputs: object) -> None:
    number = _state["calls"]
    _state["calls"] += 1
    if number == _state["failing"]:
        name = type(module).__name__
        raise torch.OutOfMemoryError(f"Tried to allocate 3.00 GiB in {name}, and 0 bytes of memory are free (torture).")


torch.nn.modules.module.register_module_forward_pre_hook(_count)


@PromptServer.instance.routes.post("/torture/memory")
async def set_failing_call(request: web.Request) -> web.Response:
    """Set the call that fails, and answer how many there were."""
    calls = _state["calls"]
    _state.update(calls=0, failing=(await request.json())["call"])
    return web.json_response({"calls": calls})
