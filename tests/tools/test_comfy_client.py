"""What the client of a ComfyUI server hears and says, with a small server that says what a test wants."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web

from tools import comfy_client
from tools.comfy_client import ComfyClient, PromptFailedError, PromptInterruptedError
from tools.comfy_server import free_port
from tools.console import DevError

ROOT = Path(__file__).parents[2]
FAILURE = {"prompt_id": "1", "node_type": "Sampler", "exception_type": "ValueError", "exception_message": "no room\n"}


class Server:
    """Sends ``messages`` once a workflow is queued, then waits for the client, or leaves."""

    def __init__(self):
        self.messages, self.leaves, self.interrupts, self.goodbyes = [], False, 0, 0
        self.queued = asyncio.Event()
        self.app = web.Application()
        self.app.add_routes([
            web.get("/ws", self.socket), web.post("/prompt", self.prompt), web.post("/interrupt", self.interrupt),
            web.get("/history/1", self.history),
        ])  # fmt: skip

    async def prompt(self, _):
        self.queued.set()
        return web.json_response({"prompt_id": "1"})

    async def interrupt(self, _):
        self.interrupts += 1
        return web.Response()

    async def history(self, _):
        return web.json_response({"1": {"outputs": {"7": {"images": [{"filename": "a.png"}]}}}})

    async def socket(self, request):
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        await self.queued.wait()
        for message in self.messages:
            await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_json(message))
        if not self.leaves:
            self.goodbyes += (await socket.receive()).type is WSMsgType.CLOSE
        return socket


@pytest.fixture
def server():
    loop, server = asyncio.new_event_loop(), Server()
    runner = web.AppRunner(server.app)
    loop.run_until_complete(runner.setup())
    port = free_port()
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", port).start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server.url = f"http://127.0.0.1:{port}"
    yield server
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(60)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)
    loop.close()


def event(kind, prompt_id="1", **data):
    return {"type": kind, "data": {"prompt_id": prompt_id, **data}}


def test_events_of_the_workflow_and_large_previews_are_heard_and_others_are_not(server):
    preview = bytes(range(256)) * 40_000  # 10 MB, more than a WebSocket takes unasked
    others = event("progress", "2", value=9)
    server.messages = [others, event("progress", value=1), preview, event("execution_success", "2")]
    server.messages += [event("execution_success"), event("progress", value=2)]
    heard = []
    result = ComfyClient(server.url).run({}, lambda kind, data: heard.append((kind, data)), timeout=60)
    success = {"prompt_id": "1"}
    assert heard == [("progress", {**success, "value": 1}), ("preview", preview), ("execution_success", success)]
    assert result.files() == [{"filename": "a.png"}]
    assert server.interrupts == 0


@pytest.mark.parametrize(
    ("last", "error", "words"),
    [
        (event("execution_error", **FAILURE), PromptFailedError, "The node Sampler failed: ValueError: no room"),
        (event("execution_interrupted", node_type="Sampler"), PromptInterruptedError, "in the node Sampler"),
    ],
)
def test_a_workflow_that_fails_or_is_stopped_says_where(server, last, error, words):
    server.messages = [last]
    with pytest.raises(error, match=words):
        ComfyClient(server.url).run({}, timeout=60)


def test_a_server_that_leaves_is_an_error_and_not_an_endless_wait(server):
    server.leaves = True
    with pytest.raises(DevError, match="server ended while it worked"):
        ComfyClient(server.url).run({}, timeout=60)


def test_no_server_is_an_error_that_says_so():
    with pytest.raises(DevError, match="server ended while it worked"):
        ComfyClient(f"http://127.0.0.1:{free_port()}").run({}, timeout=60)


def test_a_workflow_that_takes_too_long_is_interrupted(server):
    with pytest.raises(DevError, match="took too long and was interrupted"):
        ComfyClient(server.url).run({}, timeout=0.2)
    assert server.interrupts == 1


@pytest.mark.skipif(sys.platform == "win32", reason="a console's Ctrl-C cannot be sent to one process")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_leaves_a_run_at_once_and_says_goodbye(server, number, status):
    server.messages = [event("progress", value=1)]
    code = f"""
import sys
from tools import comfy_client
from tools.comfy_client import ComfyClient
from tools.processes import TerminatedError, orderly_signals
try:
    with orderly_signals():
        ComfyClient({server.url!r}).run({{}}, lambda kind, data: print(kind, flush=True))
except KeyboardInterrupt as stopped:
    sys.exit(143 if isinstance(stopped, TerminatedError) else 130)
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "progress\n"
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode == status
    assert server.goodbyes == 1


def test_a_server_that_does_not_answer_is_told_in_words(monkeypatch):
    monkeypatch.setattr(comfy_client, "SECONDS_TO_CONNECT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(DevError, match="does not answer"):
        ComfyClient(f"http://127.0.0.1:{silent.getsockname()[1]}").run({})
