"""Remakes the templates: ``python -m tools.make_templates [NAME ...]``, inside the environment ``dev.py`` makes.

Graphs come from ``tools.template_graphs``. ComfyUI's own front end, in Chromium, fills in the widgets, puts the nodes
into their boxes, writes each graph in both forms and runs it; its loudest frame becomes the thumbnail, and pictures
of graph and result are left beside the video. Those of the quick start go into ``docs``. Graphs that need files to
download, of ``tools.templates_with_files``, are not run: there the pack's icon is the thumbnail. The boxes are written
to ``subgraphs`` too, where the editor's node library finds them.
"""

import json
import shutil
import sys
import tempfile
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from .chromium import find_chromium
from .clip_pictures import loudest_frames
from .comfy_client import Result
from .comfy_server import ComfyServer
from .contact_sheet import read_clip, write_contact_sheet
from .environment import ROOT, current
from .graph_studio import Graph, shown_widgets
from .registry_ids import with_registry_ids
from .released_graphs import RELEASED
from .template_graphs import TEMPLATES, template
from .template_titles import api_file, graph_file
from .templates_with_files import FILES, WITH_FILES, template_with_files, with_files
from .workflow import Workflow

SUBGRAPHS, SCREENSHOTS = ROOT / "subgraphs", ROOT / "docs" / "templates"
ICON = ROOT / "docs" / "brand" / "icon.png"
EDITOR = Path(__file__).with_name("template_editor.js")
EXAMPLE = ROOT / "uniavgen_core" / "assets" / "portraits" / "toon_5_happy.png"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
NODE_WIDTH, NODE_GAP, TITLE = 330, 130, 40  # pixels of the canvas, as all that follow
NOTE_SIZE, SOURCE_WIDTH, BOX_WIDTH, OUTPUT_SIZE, TOP_GAP, STACK_GAP = (340, 420), 300, 420, (420, 520), 60, 130
FILE_NAME_CHARACTER = 9.6  # width of a box for each character of the longest name of a file in it, label included
OUTPUTS = {"SaveVideo", "UniAVGenSaveVideo", "PreviewImage"}
EXAMPLES = {"UniAVGenToonPortrait": "portrait", "UniAVGenToonClip": "clip", "LoadImage": "image"}
"""Widget of each node that stands for people's own media."""
VIEW, VIEW_OF_PARTS = {"scale": 0.9, "offset": [90, 160]}, {"scale": 0.68, "offset": [510, 210]}
"""Part of a graph that is shown when it is opened: with a box, and of a graph without one, beside its note."""
PICTURE = {"width": 1800, "height": 820}
CANVAS = {"x": 60, "y": 90, "width": 1840}
THUMBNAIL_WIDTH, SCREENSHOT_WIDTH = 512, 1400
MESSAGE_MS = 6000  # after which the editor's message that a run has ended is gone


def columns_of(graph: Graph) -> list[list[int]]:
    """Nodes in the columns of a graph, by default each right of all it depends on."""
    workflow = graph.nodes
    numbers = {node["_meta"]["title"]: int(number) for number, node in workflow.items()}
    if graph.columns:
        return [[numbers[title] for title in column] for column in graph.columns]
    inputs = {number: node["inputs"].values() for number, node in workflow.items()}
    links = {number: [value[0] for value in values if isinstance(value, list)] for number, values in inputs.items()}
    sorter, columns = TopologicalSorter(links), []
    sorter.prepare()
    while ready := sorter.get_ready():
        columns.append(sorted(map(int, ready)))
        sorter.done(*ready)
    return columns


def call(page: Page, name: str, argument: Any = None) -> Any:
    """Call a function of ``template_editor.js`` in the editor."""
    return page.evaluate(f"argument => window.uniavgen.{name}(argument)", argument)


def through_the_editor(page: Page, graph: Graph) -> tuple[dict[str, Any], Workflow]:
    """A graph as the editor saves it, in its boxes, and as it sends it to the server, without them."""
    page.evaluate("prompt => window.app.loadApiJson(prompt, 'template')", graph.nodes)
    between = 2 * NODE_GAP if graph.boxes else TOP_GAP
    sizes = {"width": NODE_WIDTH, "between": between, "gap": NODE_GAP + TITLE}
    call(page, "place", {"columns": columns_of(graph), **sizes})
    api = call(page, "read")["api"]
    for box, numbers in graph.boxes.items():
        values = {"title": box.title, "description": box.description, "aliases": box.aliases}
        call(page, "box", {**values, "ids": list(map(int, numbers)), "widgets": shown_widgets(graph, box)})
    call(page, "note", {"title": graph.title, "text": graph.note})
    left = 0 if graph.boxes else -NOTE_SIZE[0] - TOP_GAP
    call(page, "arrange", {"columns": top_columns(graph), "left": left, "gap": TOP_GAP, "stack": STACK_GAP})
    saved = with_registry_ids(with_lasting_ids(call(page, "read")["graph"]))
    saved["extra"] = {"ds": VIEW, "linearData": app_mode(graph, saved)} if graph.boxes else {"ds": VIEW_OF_PARTS}
    return saved, api


def app_mode(graph: Graph, saved: dict[str, Any]) -> dict[str, Any]:
    """Widgets and outputs that the editor's app mode shows: what people change, but for the files of the loaders."""
    boxes = {box.title: shown_widgets(graph, box) for box in graph.boxes if not box.is_example}
    inputs, outputs = [], []
    for node in saved["nodes"]:
        for widget in boxes.get(node["title"], ()):
            if not widget["owner"].startswith("Load the "):
                inputs.append([str(node["id"]), widget["label"]])
        if node["type"] in EXAMPLES:
            inputs.append([str(node["id"]), EXAMPLES[node["type"]]])
        if node["type"] in OUTPUTS:
            outputs.append(str(node["id"]))
    return {"inputs": inputs, "outputs": outputs}


def with_lasting_ids(saved: dict[str, Any]) -> dict[str, Any]:
    """Give subgraphs and their slots ids that are the same whenever they are made."""
    text = json.dumps(saved)
    for subgraph in (saved.get("definitions") or {}).get("subgraphs", []):
        ids = {subgraph["id"]: subgraph["name"]}
        for side in ("inputs", "outputs"):
            ids |= {slot["id"]: f"{subgraph['name']}/{side}/{slot['name']}" for slot in subgraph[side]}
        for made, name in ids.items():
            text = text.replace(made, str(uuid5(NAMESPACE_URL, name)))
    return json.loads(text)


def top_columns(graph: Graph) -> list[list[dict[str, Any]]]:
    """Note, sources, box and outputs, from left to right; only the note for a graph without a box."""
    note = {"title": graph.title, "width": NOTE_SIZE[0], "height": NOTE_SIZE[1]}
    if not graph.boxes:
        return [[note]]
    inside = {number for numbers in graph.boxes.values() for number in numbers}
    outside = [node for number, node in graph.nodes.items() if number not in inside]
    sources = [node["_meta"]["title"] for node in outside if node["class_type"] not in OUTPUTS]
    sources += [box.title for box in graph.boxes if box.is_example]
    boxes = [box.title for box in graph.boxes if not box.is_example]
    outputs = [node for node in outside if node["class_type"] in OUTPUTS]
    outputs.sort(key=lambda node: node["class_type"] != "PreviewImage")  # Save grows downwards when its video is shown
    return [
        [note],
        [{"title": title, "width": SOURCE_WIDTH, "height": 0} for title in sources],
        [{"title": title, "width": box_width(graph), "height": 0} for title in boxes],
        [
            {"title": node["_meta"]["title"], "width": OUTPUT_SIZE[0], "height": OUTPUT_SIZE[1] // len(outputs)}
            for node in outputs
        ],
    ]


def box_width(graph: Graph) -> int:
    """Width at which a box shows names of files whole, beside their labels."""
    names = [FILES[node["class_type"]]["name"] for node in graph.nodes.values() if node["class_type"] in FILES]
    return max([BOX_WIDTH, *(round(FILE_NAME_CHARACTER * len(name)) for name in names)])


def write_json(path: Path, content: Any) -> None:
    """Write JSON with a small indent."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_blueprints(graph: Graph, saved: dict[str, Any]) -> None:
    """Write a graph's box as a blueprint of the node library, without links to what is outside."""
    for box in graph.boxes:
        if box.is_example:
            continue
        (node,) = [node for node in saved["nodes"] if node.get("title") == box.title]
        (inside,) = [one for one in saved["definitions"]["subgraphs"] if one["id"] == node["type"]]
        inputs = [{**slot, "link": None} for slot in node["inputs"]]
        outputs = [{**slot, "links": []} for slot in node["outputs"]]
        blueprint = {
            "revision": 0, "last_node_id": node["id"], "last_link_id": 0, "links": [], "version": 0.4,
            "nodes": [{**node, "pos": [0, 0], "order": 0, "inputs": inputs, "outputs": outputs}],
            "definitions": {"subgraphs": [{**inside, "category": "UniAVGen", "description": box.description}]},
            "extra": {"BlueprintDescription": box.description, "BlueprintSearchAliases": list(box.aliases)},
        }  # fmt: skip
        write_json(SUBGRAPHS / f"{box.title}.json", blueprint)


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


def photograph(page: Page, path: Path) -> None:
    """Take a picture of the graph."""
    height = call(page, "fit", PICTURE)
    page.wait_for_timeout(1000)
    page.screenshot(path=str(path), clip=CANVAS | {"height": height + 60})


def open_editor(browser: Browser, server: ComfyServer) -> Page:
    """Open an editor that knows of no other: one keeps its last graph, and nodes' previews by their numbers.

    The editor is ready before it has loaded its default graph, which would replace what is loaded in between.
    """
    page = browser.new_page(viewport={"width": 1900, "height": 1000})
    page.goto(server.base_url)
    page.wait_for_function("window.app?.extensionManager && window.app.graph?.nodes.length", timeout=60_000)
    page.evaluate(f"window.uniavgen = {EDITOR.read_text(encoding='utf-8').partition(chr(10))[2]}")
    return page


def pretend_files(folder: Path) -> None:
    """Give the server empty files of the names that loaders look for, else the editor marks these in red."""
    for file in FILES.values():
        path = folder / "models" / file["directory"] / file["name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "input").mkdir(exist_ok=True)
    shutil.copy(EXAMPLE, folder / "input" / "example.png")


def remake(page: Page, server: ComfyServer, name: str, sheets: Path) -> None:
    """Write one template in both forms, its box, and its thumbnail."""
    graph = template_with_files(name) if name in WITH_FILES else template(name)
    saved, api = through_the_editor(page, graph)
    write_json(api_file(name), api)
    write_json(graph_file(name), with_files(saved))
    if name not in RELEASED:
        write_blueprints(graph, saved)
    if name in WITH_FILES:
        photograph(page, sheets / f"{name}_graph.png")
        picture = Image.open(ICON).convert("RGB")
    else:
        clip = read_clip(run_in_editor(page, server, sheets, name))
        picture = Image.fromarray(clip.frames[loudest_frames(clip, 1)[0]])
    size = (THUMBNAIL_WIDTH, round(THUMBNAIL_WIDTH * picture.height / picture.width))
    picture.resize(size, Image.Resampling.LANCZOS).save(graph_file(name).with_suffix(".jpg"), quality=88)
    screenshot = Image.open(sheets / f"{name}_graph.png").convert("RGB")
    screenshot.thumbnail((SCREENSHOT_WIDTH, SCREENSHOT_WIDTH))
    screenshot.save(SCREENSHOTS / f"{name}.webp", quality=80)
    if name == "quick_start":
        shutil.copy(sheets / f"{name}_graph.png", ROOT / "docs" / "graph.png")
        shutil.copy(sheets / f"{name}.png", ROOT / "docs" / "result.png")


def main(names: list[str]) -> int:
    """Remake the named templates, or all."""
    sheets = Path(tempfile.mkdtemp(prefix="uniavgen-templates-"))
    with ComfyServer(current()) as server, sync_playwright() as playwright:
        pretend_files(server.folder)
        server.post("/settings", {"Comfy.TutorialCompleted": True, "Comfy.Minimap.Visible": False})
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        for name in names or [*TEMPLATES, *WITH_FILES]:
            page = open_editor(browser, server)
            remake(page, server, name, sheets)
            page.close()
            print(f"{name}: {sheets}")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
