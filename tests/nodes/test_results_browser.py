"""In a browser: nodes show the texts and the pictures that they have as results."""

import pytest
from playwright.sync_api import expect

from tests.nodes.editor_scripts import LOOKS, VUE, wait_for_default_graph
from tools.environment import ROOT

pytestmark = pytest.mark.shares_pages

RUN_MS = 60_000
PLOT = ROOT / "docs" / "result.png"
ADD = """([kind, values]) => {
  const app = window.app, node = window.LiteGraph.createNode(kind);
  app.graph.clear();
  node.pos = [500, 200];
  app.graph.add(node);
  for (const [name, value] of Object.entries(values)) node.widgets.find(widget => widget.name === name).value = value;
  Object.assign(app.canvas.ds, {scale: 1, offset: [0, 0]});
  app.canvas.setDirty(true, true);
  return String(node.id);
}"""
FINISH = """([node, name]) => import("/scripts/api.js").then(({ api }) => api.dispatchCustomEvent("executed", {
  node, display_node: node, output: {images: [{filename: name, subfolder: "", type: "input"}]}
}))"""


@pytest.mark.parametrize("settings", **LOOKS)
def test_stored_segments_shows_its_report_line_by_line(page):
    wait_for_default_graph(page)
    page.evaluate(ADD, ["UniAVGenStoredSegments", {"action": "delete_all"}])
    page.evaluate("window.app.queuePrompt(0)")
    report = page.get_by_text("MiB freed.")
    expect(report).to_contain_text("No segments of long videos are stored.", timeout=RUN_MS)
    expect(report.locator("br")).to_have_count(1)


@pytest.mark.parametrize("settings", [VUE])
def test_nodes_2_shows_the_plot_of_retake_as_a_picture_though_the_node_takes_a_video(page, server):
    name = server.offer(PLOT)
    wait_for_default_graph(page)
    node = page.evaluate(ADD, ["UniAVGenRetake", {}])
    page.evaluate(FINISH, [node, name])
    shown = page.locator(f"[data-node-id='{node}']")
    expect(shown.locator(f"img[src*='{name}']")).to_be_attached()
    expect(shown.locator("video")).to_have_count(0)
