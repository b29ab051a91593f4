"""Speaks with a ComfyUI server: queues a workflow in API format, follows it, fetches what it made."""

import asyncio
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

from .console import DevError
from .workflow import Workflow

OnEvent = Callable[[str, Any], None]  # event name and its data; previews come as ("preview", bytes)
SECONDS_TO_CONNECT = 60.0  # a busy machine takes longer than ten
# After Ctrl-C nobody waits long for the goodbye of a server that is busy.
SECONDS_TO_CLOSE = aiohttp.ClientWSTimeout(ws_close=1.0)


class PromptRejectedError(DevError):
    """The server refused a workflow before running it; ``answer`` has its words."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        errors = [answer.get("error", {}).get("message", "no reason given")]
        for node in dict(answer.get("node_errors") or {}).values():
            errors += [f"{node['class_type']}: {error['message']} ({error['details']})" for error in node["errors"]]
        super().__init__("ComfyUI refused the workflow: " + "; ".join(errors))


class PromptFailedError(DevError):
    """A node raised while a workflow ran; ``event`` has node, type, message and traceback."""

    def __init__(self, event: dict[str, Any]) -> None:
        self.event = event
        reason = f"{event['exception_type']}: {event['exception_message'].strip()}"
        super().__init__(f"The node {event['node_type']} failed: {reason}")


class PromptInterruptedError(DevError):
    """A workflow was stopped by an interrupt."""


@dataclass(frozen=True)
class Result:
    """Result of a finished workflow: each output node's entry in the server's history."""

    outputs: dict[str, Any]

    def files(self) -> list[dict[str, str]]:
        """The files made by output nodes: ``filename``, ``subfolder``, ``type``."""
        lists = (value for output in self.outputs.values() for value in output.values() if isinstance(value, list))
        return [entry for values in lists for entry in values if isinstance(entry, dict) and "filename" in entry]


class ComfyClient:
    """One server, named by its address."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    def request(self, path: str, body: bytes | None = None) -> bytes:
        """Send GET, or POST where there is a body, which is JSON.

        Raises:
            urllib.error.URLError: No server, or an error status.
        """
        request = urllib.request.Request(self.base_url + path, data=body, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def get(self, path: str) -> Any:
        """Fetch JSON."""
        return json.loads(self.request(path))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Send JSON and return the JSON that comes back, None where nothing does."""
        return json.loads(self.request(path, json.dumps(body).encode()) or "null")

    def object_info(self, node: str = "") -> dict[str, Any]:
        """Every node's definition by class type, or only one node's."""
        return self.get("/object_info" + (f"/{node}" if node else ""))

    def interrupt(self) -> None:
        """Stop the workflow that runs now."""
        self.post("/interrupt", {})

    def history(self, prompt_id: str) -> dict[str, Any]:
        """Entry of a workflow in the server's history; empty while it runs or waits."""
        return self.get(f"/history/{prompt_id}").get(prompt_id, {})

    def _post_prompt(self, prompt: Workflow, client_id: str, extra_data: dict[str, Any] | None) -> str:
        """Queue a workflow whose events ``client_id`` hears, and return its id."""
        body = {"prompt": prompt, "client_id": client_id, "extra_data": extra_data or {}}
        try:
            return self.post("/prompt", body)["prompt_id"]
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            raise PromptRejectedError(json.loads(error.read())) from error

    def run(
        self,
        prompt: Workflow,
        on_event: OnEvent = lambda *_: None,
        timeout: float = 600.0,
        extra_data: dict[str, Any] | None = None,
    ) -> Result:
        """Queue a workflow in API format and follow it to its end; interrupt it after ``timeout`` seconds.

        ``on_event`` is called with each of its events; ``extra_data`` is for the server, as ``{"preview_method":
        "latent2rgb"}``.

        Raises:
            PromptRejectedError, PromptFailedError, PromptInterruptedError: It did not end well.
            DevError: It took too long, or the server ended or does not answer.
        """
        try:
            prompt_id = asyncio.run(self._run(prompt, on_event, timeout, extra_data))
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise DevError("The ComfyUI server does not answer. Its log may say why.") from error
        except (ConnectionError, urllib.error.URLError, aiohttp.ClientError) as error:
            raise DevError(f"The ComfyUI server ended while it worked ({error}). Its log says why.") from error
        return Result(self._outputs(prompt_id))

    async def _run(self, prompt: Workflow, on_event: OnEvent, timeout: float, extra_data: dict[str, Any] | None) -> str:
        """Queue a workflow when its events can be heard, and follow it; its id."""
        client_id = uuid.uuid4().hex
        url = f"{self.base_url}/ws?clientId={client_id}"
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(SECONDS_TO_CONNECT)) as session,
            session.ws_connect(url, timeout=SECONDS_TO_CLOSE, max_msg_size=0) as socket,  # previews may be large
        ):
            prompt_id = self._post_prompt(prompt, client_id, extra_data)
            try:
                await asyncio.wait_for(_follow(socket, prompt_id, on_event), timeout)
            except asyncio.TimeoutError as error:
                self.interrupt()
                raise DevError(
                    "The workflow took too long and was interrupted. Try fewer steps or a smaller, shorter clip."
                ) from error
        return prompt_id

    def _outputs(self, prompt_id: str) -> dict[str, Any]:
        """The outputs from history, which is written a moment after the last event."""
        deadline = time.monotonic() + 10
        while not (entry := self.history(prompt_id)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return entry.get("outputs", {})

    def download(self, file: dict[str, str], target: Path) -> Path:
        """Fetch one file of `Result.files` to a path."""
        query = urlencode({key: file.get(key, "") for key in ("filename", "subfolder", "type")})
        target.write_bytes(self.request(f"/view?{query}"))
        return target


async def _follow(socket: aiohttp.ClientWebSocketResponse, prompt_id: str, on_event: OnEvent) -> None:
    """Hand over a workflow's events until its last one."""
    async for message in socket:
        if message.type is aiohttp.WSMsgType.BINARY:
            on_event("preview", message.data)
        elif message.type is aiohttp.WSMsgType.TEXT:
            event = json.loads(message.data)
            if event["data"].get("prompt_id") == prompt_id:
                on_event(event["type"], event["data"])
                if _is_end(event):
                    return
    raise ConnectionError("it closed the WebSocket")


def _is_end(event: dict[str, Any]) -> bool:
    """True if an event is a workflow's last one; raises if that is a bad one."""
    if event["type"] == "execution_error":
        raise PromptFailedError(event["data"])
    if event["type"] == "execution_interrupted":
        raise PromptInterruptedError(f"The workflow was interrupted in the node {event['data'].get('node_type')}.")
    return event["type"] == "execution_success"
