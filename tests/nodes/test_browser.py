"""A person's first minute: open ComfyUI in a browser, open the quick-start template, press Run, see the video.

Chromium is Debian's, or any Chrome; ``dev.py test`` installs it where it may.
"""

import json
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from tools.chromium import find_chromium
from tools.comfy_server import PACK_NAME
from tools.released_graphs import FILES, RELEASED

WORKFLOWS = Path(__file__).parents[2] / "workflows"
TEMPLATE = "quick_start"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
MAY_LACK = {"LoadImage", *(file.kind for file in FILES)}
"""Nodes that the editor marks where the files of the released weights are not there."""
START_SECONDS, RUN_SECONDS = 60, 180


@pytest.fixture
def page(server):
    """ComfyUI's front end, loaded, with nothing running."""
    path = find_chromium()
    assert path, "no Chromium or Chrome here; on Debian: apt-get install chromium"
    server.post("/settings", {"Comfy.TutorialCompleted": True})  # else the template browser opens by itself, some time
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        page.goto(server.base_url)
        page.wait_for_function("window.app?.graph && window.app?.extensionManager", timeout=START_SECONDS * 1000)
        yield page
        browser.close()


def open_template(page):
    """Choose the pack's template in the template browser, as a person would."""
    page.get_by_role("button", name="Templates", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text(PACK_NAME, exact=True).first.click()
    dialog.get_by_test_id(f"template-workflow-{TEMPLATE}").click()
    expect(dialog).to_be_hidden()


def test_the_quick_start_template_runs_and_its_video_is_shown(page, server):
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    before = set(server.get("/history"))

    open_template(page)
    page.wait_for_function("window.app.graph.nodes.some(node => node.type === 'SaveVideo')")
    types = page.evaluate("window.app.graph.nodes.map(node => node.type)")
    assert any(kind.startswith("UniAVGen") for kind in types)
    assert page.evaluate("window.app.graph.nodes.filter(node => node.has_errors).map(node => node.type)") == []

    page.get_by_test_id("queue-button").click()
    entry = wait_for_result(server, before)
    assert entry["status"]["status_str"] == "success", entry["status"]["messages"]
    (name,) = [file["filename"] for output in entry["outputs"].values() for file in output.get("images", [])]
    assert name.endswith(".mp4")

    video = page.locator(f"video[src*='{name}'], video:has(source[src*='{name}'])").first
    expect(video).to_be_attached(timeout=30_000)
    page.wait_for_function("video => video.readyState >= 1", arg=video.element_handle())
    assert video.evaluate("video => video.videoWidth * video.duration") > 0
    assert errors == []


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.json")), ids=lambda path: path.stem)
def test_a_graph_and_the_api_workflow_beside_it_are_the_same(page, path):
    graph, expected = (json.loads(file.read_text()) for file in (path, WORKFLOWS / "api" / path.name))
    page.evaluate("graph => window.app.loadGraphData(graph)", graph)
    assert page.evaluate("window.app.graphToPrompt().then(made => made.output)") == expected
    wrong = page.evaluate("window.app.graph.nodes.filter(node => node.has_errors).map(node => node.type)")
    assert set(wrong) <= (MAY_LACK if path.stem in RELEASED else set())


def wait_for_result(server, before):
    """Poll the server's history for the one workflow that the browser queued."""
    deadline = time.monotonic() + RUN_SECONDS
    while not (new := set(server.get("/history")) - before):
        assert time.monotonic() < deadline, server.log[-2000:]
        time.sleep(0.25)
    (prompt_id,) = new
    return server.history(prompt_id)
