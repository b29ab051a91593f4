"""Every template in ComfyUI's front end, in both looks of its nodes: nothing is red, nothing overlaps.

Run is clicked in ``test_installed_package``.
"""

import json
from pathlib import Path

import pytest

from tests.nodes.editor_scripts import LOOKS, wait_for_default_graph
from tools.comfy_server import PACK_NAME
from tools.make_templates import EXAMPLES
from tools.template_titles import TITLES, graph_file
from tools.templates_with_files import FILES, WITH_FILES

SUBGRAPHS = Path(__file__).parents[2] / "subgraphs"
NAMES = list(TITLES)
FLAT = {"build_your_own"}
MOST_TOP_NODES, SMALLEST_SCALE, SMALLEST_SCALE_OF_PARTS = 7, 0.75, 0.65
VIEW = {"width": 1700, "height": 1000}
MAY_LACK = {"LoadImage", *FILES}
"""Nodes that the editor marks where the files of the released weights are not there."""
BOXES = """() => window.app.graph.nodes.map(node => {
  const shown = document.querySelector(`[data-node-id="${node.id}"]`)?.getBoundingClientRect();
  const {scale, offset} = window.app.canvas.ds, [x, y, width, height] = node.boundingRect;
  const canvas = window.app.canvas.canvas.getBoundingClientRect();
  const box = shown ?? {
    x: (x + offset[0]) * scale + canvas.x, y: (y + offset[1]) * scale + canvas.y,
    width: width * scale, height: height * scale,
  };
  return {title: node.title, red: Boolean(node.has_errors), type: node.type,
          box: [box.x, box.y, box.x + box.width, box.y + box.height]};
})"""
FILE_NAMES = (".safetensors",)
"""Ends of texts that may be cut off: names of files, which people choose from a list."""
AT_REST = f"""async () => {{
  const boxes = {BOXES};
  let before = "", same = 0;
  for (let frame = 0; frame < 600 && same < 40; frame++) {{
    await new Promise(requestAnimationFrame);
    const now = JSON.stringify(boxes());
    same = now === before ? same + 1 : 0;
    before = now;
  }}
}}"""
"""Waits until nodes have taken their sizes, and kept them for 40 frames."""
LOAD = """async ([url, name]) => {
  await window.app.loadGraphData(await (await fetch(url)).json(), true, true, name);
}"""
CUT_OFF = """() => [...document.querySelectorAll("[data-node-id] span, [data-node-id] label")]
  .filter(element => element.clientWidth && element.scrollWidth > element.clientWidth + 1)
  .map(element => element.textContent.trim()).filter(Boolean)"""
CUT_ON_CANVAS = """async () => {
  const context = CanvasRenderingContext2D.prototype, fill = context.fillText, cut = new Set();
  context.fillText = function (text, ...where) {
    if (String(text).includes("\u2026")) cut.add(String(text));
    return fill.call(this, text, ...where);
  };
  window.app.canvas.draw(true, true);
  context.fillText = fill;
  return [...cut];
}"""
"""Texts that the canvas draws shortened, with an ellipsis; ours have none."""

NOTES = """() => [...document.querySelectorAll(".tiptap, .comfy-markdown-content")]
  .map(note => note.scrollHeight <= note.clientHeight + 1)"""
"""Of each note on the canvas or drawn by Vue, whether all of it is shown without scrolling."""


@pytest.fixture(params=LOOKS["argvalues"], ids=LOOKS["ids"])
def settings(request):
    return {"Comfy.Minimap.Visible": False, **request.param}


@pytest.fixture
def editor(page):
    """The front end with nodes in one of its two looks."""
    page.set_viewport_size(VIEW)
    wait_for_default_graph(page)
    return page


def load(page, name, folder=PACK_NAME):
    """Open a template of the pack, which is in a folder of custom_nodes, by its file, as the template browser does."""
    url = f"/api/workflow_templates/{folder}/{TITLES[name]}.json"
    page.evaluate(LOAD, [url, name])
    page.wait_for_function("name => window.app.graph.nodes.some(node => node.title === name)", arg="Save")
    page.evaluate(AT_REST)


def overlaps(boxes):
    """Pairs of nodes that lie over each other by more than a shadow."""
    pairs = [(one, other) for number, one in enumerate(boxes) for other in boxes[:number]]
    return [(one["title"], other["title"]) for one, other in pairs if _overlap(one["box"], other["box"])]


def _overlap(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width > 2 and height > 2


def cut_off(page):
    """Texts on nodes that do not fit, but for names of files."""
    drawn = page.evaluate(CUT_ON_CANVAS)
    return [text for text in page.evaluate(CUT_OFF) if not text.endswith(FILE_NAMES)] + drawn


def test_every_template_opens_in_view_without_errors_overlaps_or_red_nodes(editor):
    found = {}
    for name in NAMES:
        load(editor, name)
        boxes = editor.evaluate(BOXES)
        red = [
            node["title"] for node in boxes if node["red"] and node["type"] not in MAY_LACK and name not in WITH_FILES
        ]
        found[name] = {"overlaps": overlaps(boxes), "red": red, "cut off": cut_off(editor)}
        found[name]["note"] = [] if editor.evaluate(NOTES) == [True] else ["has to be scrolled, or is not there"]
        found[name]["out of view"] = out_of_view(editor, boxes, name in FLAT)
    assert {name: faults for name, faults in found.items() if any(faults.values())} == {}
    assert editor.errors == []


def out_of_view(page, boxes, is_flat):
    """Say what keeps a template from being read at once: many nodes, a small scale, or nodes out of sight."""
    left, right, bottom = (find(node["box"][side] for node in boxes) for find, side in ((min, 0), (max, 2), (max, 3)))
    smallest = SMALLEST_SCALE_OF_PARTS if is_flat else SMALLEST_SCALE
    faults = {
        f"{len(boxes)} nodes": len(boxes) > MOST_TOP_NODES and not is_flat,
        "small": page.evaluate("window.app.canvas.ds.scale") < smallest,
        f"ends at {right:.0f}, {bottom:.0f}": right > VIEW["width"] or bottom > VIEW["height"] * 1.2,
        f"begins at {left:.0f}": left < 0,
    }
    return [fault for fault, is_so in faults.items() if is_so]


@pytest.mark.parametrize("name", sorted(set(NAMES) - FLAT))
def test_the_app_mode_of_a_template_shows_widgets_that_are_there_and_the_saved_file(name):
    graph = json.loads(graph_file(name).read_text(encoding="utf-8"))
    chosen, nodes = graph["extra"]["linearData"], {str(node["id"]): node for node in graph["nodes"]}
    shown = {(number, slot["name"]) for number, node in nodes.items() for slot in node["inputs"] if "widget" in slot}
    for number, widget in chosen["inputs"]:
        assert (number, widget) in shown or nodes[number]["type"] in EXAMPLES
    words = {"transcript", "transcript 1", "script", "scale by"}
    assert words & {widget for _, widget in chosen["inputs"]}
    assert any("Save" in nodes[number]["type"] for number in chosen["outputs"])


def test_every_box_is_in_the_node_library_by_its_name(server):
    offered = server.get("/global_subgraphs").values()
    known = {entry["name"] for entry in offered if PACK_NAME in entry["info"]["node_pack"]}
    assert known == {path.stem for path in SUBGRAPHS.glob("*.json")}
    for path in SUBGRAPHS.glob("*.json"):
        blueprint = json.loads(path.read_text(encoding="utf-8"))
        (node,) = blueprint["nodes"]
        assert node["type"] == blueprint["definitions"]["subgraphs"][0]["id"]
        assert all(slot["link"] is None for slot in node["inputs"])
        assert blueprint["extra"]["BlueprintSearchAliases"]
