"""Remakes the templates: ``python -m tools.make_templates [NAME ...]``, inside the environment ``dev.py`` makes.

Graphs come from ``tools.template_graphs``. ComfyUI's own front end, in Chromium, fills in the widgets, writes both
forms of each and runs it; a frame of the result becomes the thumbnail, and pictures of graph and result are left beside
the video. Those of the quick start go into ``docs``.
"""

import json
import shutil
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from .chromium import find_chromium
from .comfy_client import Result
from .comfy_server import ComfyServer
from .contact_sheet import read_clip, write_contact_sheet
from .environment import ROOT, current
from .template_graphs import TEMPLATES
from .workflow import Workflow

WORKFLOWS = ROOT / "workflows"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
COLUMN_WIDTH, COLUMN_GAP, NODE_GAP, TITLE = 330, 60, 30, 40  # pixels of the canvas
THUMBNAIL_WIDTH = 512
LOAD = "prompt => window.app.loadApiJson(prompt, 'template')"
PLACE = """columns => {
  const {width, step, gap, title} = columns.measures;
  for (const widget of window.app.graph.nodes.flatMap(node => node.widgets ?? [])) {
    if (widget.name === "control_after_generate") widget.value = "fixed";
  }
  columns.nodes.forEach((ids, column) => {
    let y = 0;
    for (const id of ids) {
      const node = window.app.graph.getNodeById(id);
      node.setSize([width, Math.max(node.computeSize()[1], 60)]);
      node.pos = [column * step, y];
      y += node.size[1] + title + gap;
    }
  });
}"""
FIT = """() => {
  const nodes = window.app.graph.nodes, ds = window.app.canvas.ds;
  const left = Math.min(...nodes.map(n => n.pos[0])), top = Math.min(...nodes.map(n => n.pos[1])) - 40;
  const right = Math.max(...nodes.map(n => n.pos[0] + n.size[0]));
  const bottom = Math.max(...nodes.map(n => n.pos[1] + n.size[1]));
  ds.scale = Math.min(1800 / (right - left), 820 / (bottom - top));
  ds.offset = [80 / ds.scale - left, 110 / ds.scale - top];
  window.app.canvas.setDirty(true, true);
  return (bottom - top) * ds.scale;
}"""
CANVAS = {"x": 60, "y": 90, "width": 1840}
MESSAGE_MS = 6000  # after which the editor's message that a run has ended is gone
READ = """async () => {
  const made = await window.app.graphToPrompt();
  return {graph: made.workflow, api: made.output};
}"""


def columns_of(workflow: Workflow) -> list[list[int]]:
    """Nodes in columns: each stands right of all it depends on."""
    depth: dict[str, int] = {}

    def depth_of(number: str) -> int:
        if number not in depth:
            links = (value for value in workflow[number]["inputs"].values() if isinstance(value, list))
            depth[number] = 1 + max((depth_of(source) for source, _ in links), default=-1)
        return depth[number]

    columns = defaultdict(list)
    for number in workflow:
        columns[depth_of(number)].append(int(number))
    return [columns[column] for column in sorted(columns)]


def through_the_editor(page: Page, workflow: Workflow) -> tuple[dict[str, Any], Workflow]:
    """A workflow as the editor saves it, and as it sends it to the server."""
    page.evaluate(LOAD, workflow)
    measures = {"width": COLUMN_WIDTH, "step": COLUMN_WIDTH + COLUMN_GAP, "gap": NODE_GAP, "title": TITLE}
    page.evaluate(PLACE, {"nodes": columns_of(workflow), "measures": measures})
    made = page.evaluate(READ)
    made["graph"].pop("extra", None)
    return made["graph"], made["api"]


def write_json(path: Path, content: Any) -> None:
    """Write JSON with a small indent."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def run_in_editor(page: Page, server: ComfyServer, folder: Path, name: str) -> Path:
    """Run the graph in the editor; returns the video, with a contact sheet and a picture of the graph beside it."""
    before = set(server.get("/history"))
    page.evaluate("window.app.queuePrompt(0)")
    while not (new := set(server.get("/history")) - before):
        page.wait_for_timeout(500)
    entry = server.history(new.pop())
    (video,) = [file for file in Result("", entry["outputs"]).files() if file["filename"].endswith(".mp4")]
    path = server.download(video, folder / f"{name}.mp4")
    write_contact_sheet(read_clip(path), path.with_suffix(".png"))
    page.wait_for_timeout(MESSAGE_MS)
    height = page.evaluate(FIT)
    page.wait_for_timeout(1000)
    page.screenshot(path=str(folder / f"{name}_graph.png"), clip=CANVAS | {"height": height + 60})
    return path


def write_thumbnail(video: Path, path: Path) -> None:
    """The middle frame of a video as a JPEG."""
    frames = read_clip(video).frames
    picture = Image.fromarray(frames[len(frames) // 2])
    height = round(THUMBNAIL_WIDTH * picture.height / picture.width)
    picture.resize((THUMBNAIL_WIDTH, height), Image.Resampling.LANCZOS).save(path, quality=88)


def main(names: list[str]) -> int:
    """Remake the named templates, or all."""
    sheets = Path(tempfile.mkdtemp(prefix="uniavgen-templates-"))
    with ComfyServer(current()) as server, sync_playwright() as playwright:
        server.post("/settings", {"Comfy.TutorialCompleted": True})
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1900, "height": 1000})
        page.goto(server.base_url)
        page.wait_for_function("window.app?.graph && window.app?.extensionManager", timeout=60_000)
        made = {name: through_the_editor(page, TEMPLATES[name]()) for name in names or TEMPLATES}
        for name, (
            graph,
            api,
        ) in made.items():  # only now: what ran before leaves its previews on the next graph's nodes
            write_json(WORKFLOWS / f"{name}.json", graph)
            write_json(WORKFLOWS / "api" / f"{name}.json", api)
            page.evaluate("graph => window.app.loadGraphData(graph)", graph)
            write_thumbnail(run_in_editor(page, server, sheets, name), WORKFLOWS / f"{name}.jpg")
            print(f"{name}: {sheets / name}.png")
            if name == "quick_start":
                shutil.copy(sheets / f"{name}_graph.png", ROOT / "docs" / "graph.png")
                shutil.copy(sheets / f"{name}.png", ROOT / "docs" / "result.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
