"""Remakes the templates: ``python -m tools.make_templates [NAME ...]``, inside the environment ``dev.py`` makes.

Graphs come from ``tools.template_graphs``. ComfyUI's own front end, in Chromium, fills in the widgets and writes both
forms of each; a real server runs it, and a frame of its result becomes the thumbnail.
"""

import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from .chromium import find_chromium
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


def run_template(server: ComfyServer, api: Workflow, name: str, sheets: Path) -> Path:
    """Run a workflow; returns the video, and leaves a contact sheet beside it."""
    result = server.run(api, timeout=1800)
    (video,) = [file for file in result.files() if file["filename"].endswith(".mp4")]
    path = server.download(video, sheets / f"{name}.mp4")
    write_contact_sheet(read_clip(path), path.with_suffix(".png"))
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
        for name in names or TEMPLATES:
            graph, api = through_the_editor(page, TEMPLATES[name]())
            write_json(WORKFLOWS / f"{name}.json", graph)
            write_json(WORKFLOWS / "api" / f"{name}.json", api)
            page.wait_for_timeout(500)
            page.screenshot(path=str(sheets / f"{name}_graph.png"))
            write_thumbnail(run_template(server, api, name, sheets), WORKFLOWS / f"{name}.jpg")
            print(f"{name}: {sheets / name}.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
