"""A person's first minute: open ComfyUI in a browser, open the quick-start template, press Run, see the video."""

import base64
import json
import time

import pytest
from playwright.sync_api import expect

from tests.nodes.editor_scripts import ALONE, LOOKS, wait_for_default_graph
from tools.comfy_server import PACK_NAME
from tools.environment import ROOT
from tools.template_titles import TITLES, api_file, graph_file
from tools.templates_with_files import FILES, WITH_FILES
from uniavgen_core.tasks import DUBBING, JOINT, TASKS

pytestmark = pytest.mark.shares_pages

TEMPLATE = TITLES["quick_start"]
MAY_LACK = {"LoadImage", *FILES}
"""Nodes that the editor marks where the files of the released weights are not there."""
DEMO = ROOT / "docs" / "demo.mp4"
FILE_IN_TRANSFER = """async ([data, name, type]) => {
  const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, {type}));
  return transfer;
}"""
RUN_SECONDS = 600
SAMPLING = {"steps", "shift", "sampler_name"}
GUIDANCE = {"video_guidance", "audio_guidance", "modality_aware_share", "after_share", "skip_layer"}


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
    page.wait_for_function("window.app.graph.nodes.some(node => node.type === 'UniAVGenSaveVideo')")
    types = page.evaluate("window.app.graph.nodes.map(node => node.type)")
    assert any(kind.startswith("UniAVGen") for kind in types)
    assert page.evaluate("window.app.graph.nodes.filter(node => node.has_errors).map(node => node.type)") == []

    page.evaluate(SAY, "red bird yes")
    page.get_by_test_id("queue-button").click()
    entry = wait_for_result(server, before)
    assert entry["status"]["status_str"] == "success", entry["status"]["messages"]
    assert "red bird yes" in {node["inputs"].get("transcript") for node in entry["prompt"][2].values()}
    (name,) = [file["filename"] for output in entry["outputs"].values() for file in output.get("images", [])]
    assert name.endswith(".mp4")

    video = page.locator(f"video[src*='{name}'], video:has(source[src*='{name}'])").first
    expect(video).to_be_attached(timeout=30_000)
    page.wait_for_function("video => video.readyState >= 1", arg=video.element_handle())
    assert video.evaluate("video => video.videoWidth * video.duration") > 0
    assert errors == []


def test_from_an_empty_canvas_the_demo_dropped_on_it_and_a_click_on_run_make_a_talking_clip(page, server):
    wait_for_default_graph(page)
    page.evaluate("window.app.graph.clear()")
    before = set(server.get("/history"))
    page.locator("#graph-canvas").dispatch_event("drop", {"dataTransfer": dropped(page, DEMO)})
    page.wait_for_function("window.app.graph.nodes.some(node => node.type === 'UniAVGenSaveVideo')")
    page.get_by_test_id("queue-button").click()
    entry = wait_for_result(server, before)
    assert entry["status"]["status_str"] == "success", entry["status"]["messages"]
    (name,) = [file["filename"] for output in entry["outputs"].values() for file in output.get("images", [])]
    expect(page.locator(f"video[src*='{name}'], video:has(source[src*='{name}'])").first).to_be_attached(timeout=30_000)
    assert page.errors == []


def dropped(page, path):
    """A ``DataTransfer`` with a file in it, as a browser makes it of a file that is dragged from a folder."""
    data = base64.b64encode(path.read_bytes()).decode()
    return page.evaluate_handle(FILE_IN_TRANSFER, [data, path.name, "video/mp4"])


def test_each_graph_and_the_api_workflow_beside_it_are_the_same(page):
    for name in TITLES:
        check_pair(page, name)


def check_pair(page, name):
    """Compare a template's graph, as the editor sends it, with its API workflow."""
    graph, expected = (json.loads(path.read_text()) for path in (graph_file(name), api_file(name)))
    page.evaluate("graph => window.app.loadGraphData(graph)", graph)
    made = page.evaluate("window.app.graphToPrompt().then(made => made.output)")
    assert by_title(made) == by_title(expected), name
    wrong = page.evaluate("window.app.graph.nodes.filter(node => node.has_errors).map(node => node.type)")
    boxes = {subgraph["id"] for subgraph in (graph.get("definitions") or {}).get("subgraphs", [])}
    assert set(wrong) <= (MAY_LACK | boxes if name in WITH_FILES else set())


def by_title(workflow):
    """Nodes by their titles instead of their numbers, which differ where nodes are in a box."""
    titles = {number: node["_meta"]["title"] for number, node in workflow.items()}
    assert len(set(titles.values())) == len(titles)

    def named(value):
        return [titles[value[0]], value[1]] if isinstance(value, list) and value[0] in titles else value

    return {
        titles[number]: (node["class_type"], {name: named(value) for name, value in node["inputs"].items()})
        for number, node in workflow.items()
    }


@pytest.mark.parametrize(
    ("socket", "loader"),
    [("video_vae", "UniAVGen Load Video VAE"), ("audio_vae", "UniAVGen Load Audio VAE")],
)
def test_a_link_dropped_from_a_codecs_socket_offers_its_loader_and_takes_no_other_vae(page, socket, loader):
    x, y = page.evaluate(SLOT, socket)
    page.wait_for_timeout(500)  # until the canvas has drawn the node
    page.mouse.move(x, y)
    page.wait_for_timeout(100)
    page.mouse.down()
    page.mouse.move(x - 150, y + 150, steps=10)
    page.wait_for_timeout(100)
    page.mouse.up()
    offered = page.get_by_role("option")
    expect(offered.first).to_contain_text(loader)
    page.keyboard.press("Enter")
    page.wait_for_function("window.app.graph.nodes.length === 2")
    linked, stock = page.evaluate(CONNECT, socket)
    assert linked == loader.replace(" ", "")
    assert stock is None


@pytest.mark.parametrize("settings", **LOOKS)
def test_the_tasks_are_chosen_by_their_titles_and_saved_by_their_names(page, settings):
    wait_for_default_graph(page)
    x, y = page.evaluate(TASK)
    page.wait_for_timeout(500)
    if settings:
        page.get_by_text(JOINT.title, exact=True).click()
    else:
        page.mouse.click(x, y)
    offered = page.get_by_role("option") if settings else page.locator(".litecontextmenu .litemenu-entry")
    expect(offered).to_have_text([task.title for task in TASKS.values()])
    offered.get_by_text(DUBBING.title, exact=True).click() if settings else offered.nth(3).click()
    page.wait_for_function("window.app.graph.nodes[0].widgets.every(widget => widget.name !== 'task.seconds')")
    saved = page.evaluate("window.app.graphToPrompt().then(made => Object.values(made.output)[0].inputs)")
    assert saved["task"] == DUBBING.name


def test_a_preset_greys_out_the_widgets_that_it_replaces_and_no_others(page):
    cases = {
        "UniAVGenSampler": {"custom": set(), "fast": SAMPLING, "release": SAMPLING | GUIDANCE,
                            "instant": SAMPLING | GUIDANCE, "auto": SAMPLING | GUIDANCE},
        "UniAVGenGuider": {"custom": set(), "auto": GUIDANCE},
        "UniAVGenGuidance": {"custom": set(), "auto": GUIDANCE},
        "UniAVGenSigmas": {"custom": set(), "auto": {"steps", "shift"}},
    }  # fmt: skip
    for kind, presets in cases.items():
        page.evaluate(ALONE, kind)
        assert set(page.evaluate(DISABLED)) == presets["auto"], "the default"
        for preset, disabled in presets.items():
            page.evaluate(CHOOSE_PRESET, preset)
            assert set(page.evaluate(DISABLED)) == disabled, (kind, preset)


@pytest.mark.parametrize(("kind", "tag"), [("UniAVGenToonPortrait", "img"), ("UniAVGenToonClip", "video")])
def test_an_example_shows_what_is_chosen_before_anything_runs(page, kind, tag):
    page.evaluate(ALONE, kind)
    shown = page.locator(f"{tag}[src*='/uniavgen/examples/']")
    expect(shown).to_be_visible()
    page.wait_for_function("shown => (shown.naturalWidth ?? shown.videoWidth) === 128", arg=shown.element_handle())
    before = shown.get_attribute("src")
    page.evaluate(CHOOSE_LAST)
    assert shown.get_attribute("src") != before
    page.wait_for_function("shown => (shown.naturalWidth ?? shown.videoWidth) === 128", arg=shown.element_handle())


SAY = """words => {
  const box = window.app.graph.nodes.find(node => node.isSubgraphNode?.());
  box.widgets.find(widget => widget.name === "transcript").value = words;
}"""
CHOOSE_PRESET = """value => {
  const preset = window.app.graph.nodes[0].widgets.find(widget => widget.name === "preset");
  preset.value = value;
  preset.callback(value);
}"""
DISABLED = "window.app.graph.nodes[0].widgets.filter(widget => widget.disabled).map(widget => widget.name)"
CHOOSE_LAST = """() => {
  const [choice] = window.app.graph.nodes[0].widgets;
  choice.value = choice.options.values.at(-1);
  choice.callback(choice.value);
}"""
TASK = """() => {
  const app = window.app, node = window.LiteGraph.createNode("UniAVGenTask");
  app.graph.clear();
  node.pos = [500, 200];
  app.graph.add(node);
  Object.assign(app.canvas.ds, {scale: 1, offset: [0, 0]});
  app.canvas.draw(true, true);
  const box = app.canvas.canvas.getBoundingClientRect();
  const {y} = node.widgets.find(widget => widget.name === "task");
  return [node.pos[0] + node.size[0] / 2 + box.left, node.pos[1] + y + 10 + box.top];
}"""
"""Makes a node for tasks; gives the place of its choice of a task on the screen."""
SLOT = """name => {
  const app = window.app, node = window.LiteGraph.createNode("UniAVGenDecode");
  app.graph.clear();
  node.pos = [500, 200];
  app.graph.add(node);
  Object.assign(app.canvas.ds, {scale: 1, offset: [0, 0]});
  app.canvas.setDirty(true, true);
  const [x, y] = node.getConnectionPos(true, node.inputs.findIndex(input => input.name === name));
  const box = app.canvas.canvas.getBoundingClientRect();
  return [x + box.left, y + box.top];
}"""
"""Makes a node for decoding; gives the place of one of its sockets on the screen."""
CONNECT = """name => {
  const graph = window.app.graph, decode = graph.nodes.find(node => node.type === "UniAVGenDecode");
  const index = decode.inputs.findIndex(input => input.name === name);
  const link = decode.inputs[index].link, from = graph.getNodeById(graph.links.get(link)?.origin_id);
  const stock = window.LiteGraph.createNode("VAELoader");
  graph.add(stock);
  return [from?.type, stock.connect(0, decode, index)];
}"""
"""What a socket is linked to, and the link that ComfyUI's own loader of a VAE gets to it: none."""


def wait_for_result(server, before):
    """Poll the server's history for the one workflow that the browser queued."""
    deadline = time.monotonic() + RUN_SECONDS
    while not (new := set(server.get("/history")) - before):
        assert time.monotonic() < deadline, server.log[-2000:]
        time.sleep(0.25)
    (prompt_id,) = new
    return server.history(prompt_id)
