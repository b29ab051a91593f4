"""Remakes the pictures of the help pages: ``python -m tools.make_help_pictures [NODE_ID ...]``.

It runs in the environment that ``dev.py`` makes, with ``COMFYUI_PATH`` set. ComfyUI's own front end, in Chromium with
Nodes 2.0, loads each graph of ``tools.help_pictures``, runs it where the node shows a result, and draws the node between
its neighbours. The rest of the graph is left out.
"""

import io
import sys
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from .chromium import find_chromium
from .comfy_server import ComfyServer
from .console import DevError
from .environment import ROOT, current
from .help_graphs import Picture, ToonGraph
from .help_pictures import PICTURES
from .make_templates import FLAGS

PAGES = ROOT / "web" / "docs"
FILE = "node.jpg"
WIDTH, LARGEST_FILE = 600, 60_000  # pixels and bytes of a picture
QUALITIES = (90, 85, 80, 70, 60)
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.VueNodes.Enabled": True,
    "Comfy.NodeBadge.NodeSourceBadgeMode": "None",
    "Comfy.Canvas.SelectionToolbox": False,
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.LinkMarkers": 0,
}
VIEWPORT = {"width": 1500, "height": 1500}
NODE_WIDTH, NEIGHBOUR_WIDTH, LOWEST = 290, 225, 60  # pixels of the canvas, as all that follow
GAP, SPACE, MARGIN = 16, 40, 12  # between nodes of a column, between columns, and around all
RIGHT_SHOWN, RIGHT_HEIGHT = 160, 240  # of neighbours on the right that are cut off
CORNER = {"left": 100, "top": 100}  # beside the editor's own bars
SETTLE_MS = 1500  # in which the editor draws what has changed
RUN_SECONDS = 300
HIDDEN = ".p-toast { display: none !important }"
OUTLINE = "[data-node-id='%s'] { outline: 2px solid #5ab0ff; border-radius: 16px }"
LOAD = """async prompt => {
  await window.app.loadApiJson(prompt, "help");
  for (const widget of window.app.graph.nodes.flatMap(node => node.widgets ?? [])) {
    if (widget.name === "control_after_generate") widget.value = "fixed";
  }
}"""
NARROW = """({shown, node, width, height}) => {
  const {graph, canvas} = window.app, ids = shown.flat();
  for (const other of [...graph.nodes]) if (!ids.includes(String(other.id))) graph.remove(other);
  for (const other of graph.nodes) other.setSize([String(other.id) === node ? width.node : width.others, height]);
  Object.assign(canvas.ds, {scale: 1, offset: [0, 0]});
  canvas.setDirty(true, true);
}"""
"""Leaves only the shown nodes, as low as they can be."""
PLACE = """({shown, left, top, gap, space}) => {
  const {graph, canvas} = window.app, title = window.LiteGraph.NODE_TITLE_HEIGHT;
  let x = left;
  const columns = shown.map(ids => {
    let y = top, right = x;
    for (const id of ids) {
      const box = document.querySelector(`[data-node-id="${id}"]`).getBoundingClientRect();
      graph.getNodeById(id).pos = [x, y + title];
      y += box.height + gap;
      right = Math.max(right, x + box.width);
    }
    const column = {left: x, right, bottom: y - gap};
    if (ids.length) x = right + space;
    return column;
  });
  canvas.setDirty(true, true);
  return columns;
}"""
"""Puts the columns of nodes side by side; returns their edges."""


def open_editor(browser: Browser, server: ComfyServer) -> Page:
    """Open an editor of its own for a graph: one shows earlier results on nodes of the same numbers."""
    page = browser.new_page(viewport=VIEWPORT, device_scale_factor=2)
    page.goto(server.base_url)
    page.wait_for_function("window.app?.extensionManager && window.app.graph?.nodes.length", timeout=60_000)
    page.add_style_tag(content=HIDDEN)
    return page


def run(page: Page, server: ComfyServer) -> None:
    """Run the graph, and wait until the nodes show their results.

    Raises:
        DevError: The run failed, or took too long.
    """
    before = set(server.get("/history"))
    page.evaluate("window.app.queuePrompt(0)")
    deadline = time.monotonic() + RUN_SECONDS
    while not (new := set(server.get("/history")) - before):
        if time.monotonic() > deadline:
            raise DevError(f"The graph did not run within {RUN_SECONDS} s. {server.log[-2000:]}")
        page.wait_for_timeout(500)
    status = server.history(new.pop())["status"]
    if status["status_str"] != "success":
        raise DevError(f"The graph did not run: {status['messages']}")
    page.wait_for_timeout(SETTLE_MS)


def photograph(page: Page, picture: Picture) -> Image.Image:
    """Take the picture of a node and its neighbours; those on the right are cut off where they need too much room."""
    columns = [[node.number for node in column] for column in (picture.left, (picture.node,), picture.right)]
    width = {"node": NODE_WIDTH, "others": NEIGHBOUR_WIDTH}
    page.add_style_tag(content=OUTLINE % picture.node.number)
    page.evaluate(NARROW, {"shown": columns, "node": picture.node.number, "width": width, "height": LOWEST})
    page.wait_for_timeout(SETTLE_MS)
    left, node, right = page.evaluate(PLACE, {"shown": columns, **CORNER, "gap": GAP, "space": SPACE})
    page.wait_for_timeout(SETTLE_MS)
    end, bottom = node["right"] + MARGIN, max(left["bottom"], node["bottom"])
    if picture.right:
        end = right["left"] + RIGHT_SHOWN if picture.left else right["right"] + MARGIN
        bottom = max(bottom, min(right["bottom"], CORNER["top"] + RIGHT_HEIGHT))
    x, y = CORNER["left"] - MARGIN, CORNER["top"] - MARGIN
    clip = {"x": x, "y": y, "width": end - x, "height": bottom + MARGIN - y}
    return Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")


def save(picture: Image.Image, path: Path) -> None:
    """Save a picture, in the best quality that keeps the file small."""
    size = (WIDTH, round(WIDTH * picture.height / picture.width))
    small = picture.resize(size, Image.Resampling.LANCZOS)
    for quality in QUALITIES:
        small.save(path, quality=quality, optimize=True)
        if path.stat().st_size <= LARGEST_FILE:
            return


def remake(browser: Browser, server: ComfyServer, name: str) -> None:
    """Remake the picture of a node."""
    toon = ToonGraph()
    picture = PICTURES[name](toon)
    page = open_editor(browser, server)
    page.evaluate(LOAD, toon.nodes)
    if picture.runs is not None:
        run(page, server)
    save(photograph(page, picture), PAGES / name / FILE)
    page.close()


def main(names: list[str]) -> int:
    """Remake the pictures of the named nodes, or all."""
    with ComfyServer(current()) as server, sync_playwright() as playwright:
        server.post("/settings", SETTINGS)
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        for name in names or PICTURES:
            remake(browser, server, name)
            print(name)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
