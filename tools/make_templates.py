"""Remakes the templates: ``python -m tools.make_templates [NAME ...]``, inside the environment ``dev.py`` makes.

Graphs come from ``tools.template_graphs``. ComfyUI's own front end, in Chromium, fills in the widgets, writes both
forms of each and runs it; a frame of the result becomes the thumbnail, and pictures of graph and result are left beside
the video. Those of the quick start go into ``docs``. Graphs for the released weights, of ``tools.released_graphs``, are
not run: there the beginning of the graph is the thumbnail.
"""

import json
import shutil
import sys
import tempfile
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from .chromium import find_chromium
from .comfy_client import Result
from .comfy_server import ComfyServer
from .contact_sheet import read_clip, write_contact_sheet
from .environment import ROOT, current
from .registry_ids import with_registry_ids
from .released_graphs import FILES, RELEASED, with_files
from .template_graphs import TEMPLATES
from .workflow import Workflow

WORKFLOWS = ROOT / "workflows"
EXAMPLE = ROOT / "uniavgen_core" / "assets" / "portraits" / "toon_5_happy.png"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
COLUMN_WIDTH, COLUMN_GAP, NODE_GAP, TITLE = 330, 60, 30, 40  # pixels of the canvas
THUMBNAIL_WIDTH, RELEASED_COLUMNS = 512, 2
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
FIT = """right_end => {
  const ds = window.app.canvas.ds, nodes = window.app.graph.nodes.filter(node => node.pos[0] < right_end);
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
    inputs = {number: node["inputs"].values() for number, node in workflow.items()}
    links = {number: [value[0] for value in values if isinstance(value, list)] for number, values in inputs.items()}
    sorter, columns = TopologicalSorter(links), []
    sorter.prepare()
    while ready := sorter.get_ready():
        columns.append(sorted(map(int, ready)))
        sorter.done(*ready)
    return columns


def through_the_editor(page: Page, workflow: Workflow) -> tuple[dict[str, Any], Workflow]:
    """A workflow as the editor saves it, and as it sends it to the server."""
    page.evaluate(LOAD, workflow)
    measures = {"width": COLUMN_WIDTH, "step": COLUMN_WIDTH + COLUMN_GAP, "gap": NODE_GAP, "title": TITLE}
    page.evaluate(PLACE, {"nodes": columns_of(workflow), "measures": measures})
    made = page.evaluate(READ)
    made["graph"].pop("extra", None)
    return with_registry_ids(made["graph"]), made["api"]


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
    (video,) = [file for file in Result(entry["outputs"]).files() if file["filename"].endswith(".mp4")]
    path = server.download(video, folder / f"{name}.mp4")
    write_contact_sheet(read_clip(path), path.with_suffix(".png"))
    page.wait_for_timeout(MESSAGE_MS)
    photograph(page, folder / f"{name}_graph.png")
    return path


def photograph(page: Page, path: Path, columns: int = 99) -> None:
    """Take a picture of the graph, or of its first columns."""
    height = page.evaluate(FIT, columns * (COLUMN_WIDTH + COLUMN_GAP))
    page.wait_for_timeout(1000)
    page.screenshot(path=str(path), clip=CANVAS | {"height": height + 60})


def open_editor(browser: Browser, server: ComfyServer) -> Page:
    """Open an editor that knows of no other: one keeps its last graph, and nodes' previews by their numbers.

    The editor is ready before it has loaded its default graph, which would replace what is loaded in between.
    """
    page = browser.new_page(viewport={"width": 1900, "height": 1000})
    page.goto(server.base_url)
    page.wait_for_function("window.app?.extensionManager && window.app.graph?.nodes.length", timeout=60_000)
    return page


def pretend_files(folder: Path) -> None:
    """Give the server empty files of the released weights' names, else the editor marks what lacks them in red."""
    for file in FILES.values():
        path = folder / "models" / file["directory"] / file["name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "input").mkdir(exist_ok=True)
    shutil.copy(EXAMPLE, folder / "input" / "example.png")


def remake(page: Page, server: ComfyServer, name: str, made: tuple[dict[str, Any], Workflow], sheets: Path) -> None:
    """Write one template in both forms, and its thumbnail."""
    graph, api = made
    write_json(WORKFLOWS / "api" / f"{name}.json", api)
    write_json(WORKFLOWS / f"{name}.json", with_files(graph) if name in RELEASED else graph)
    if name in RELEASED:
        another = open_editor(page.context.browser, server)
        through_the_editor(another, api)
        photograph(another, sheets / f"{name}_graph.png", RELEASED_COLUMNS)
        another.close()
        picture = Image.open(sheets / f"{name}_graph.png").convert("RGB")
    else:
        page.evaluate("graph => window.app.loadGraphData(graph)", graph)
        frames = read_clip(run_in_editor(page, server, sheets, name)).frames
        picture = Image.fromarray(frames[len(frames) // 2])
    size = (THUMBNAIL_WIDTH, round(THUMBNAIL_WIDTH * picture.height / picture.width))
    picture.resize(size, Image.Resampling.LANCZOS).save(WORKFLOWS / f"{name}.jpg", quality=88)
    if name == "quick_start":
        shutil.copy(sheets / f"{name}_graph.png", ROOT / "docs" / "graph.png")
        shutil.copy(sheets / f"{name}.png", ROOT / "docs" / "result.png")


def main(names: list[str]) -> int:
    """Remake the named templates, or all."""
    sheets = Path(tempfile.mkdtemp(prefix="uniavgen-templates-"))
    graphs = TEMPLATES | RELEASED
    with ComfyServer(current()) as server, sync_playwright() as playwright:
        pretend_files(server.folder)
        server.post("/settings", {"Comfy.TutorialCompleted": True})
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        page = open_editor(browser, server)
        made = {name: through_the_editor(page, graphs[name]()) for name in names or graphs}
        for name, both in made.items():  # only now: what ran before leaves its previews on the next graph's nodes
            remake(page, server, name, both, sheets)
            print(f"{name}: {sheets}")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
