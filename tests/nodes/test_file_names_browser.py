"""In a browser: dates in the names of saved files are filled in, and a saved latent opens its workflow."""

import base64
import re

import pytest

from tests.nodes.graphs import Graph

NAMED = """([kind, prefix]) => {
  const app = window.app, node = window.LiteGraph.createNode(kind);
  app.graph.clear();
  app.graph.add(node);
  node.widgets.find(widget => widget.name === "filename_prefix").value = prefix;
  return app.graphToPrompt().then(made => [
    Object.values(made.output)[0].inputs.filename_prefix, made.workflow.nodes[0].widgets_values.includes(prefix)
  ]);
}"""
"""Makes a node that saves files; gives the prefix that is sent to the server, and whether the workflow has the text."""
DROP = """content => {
  window.app.graph.clear();
  const bytes = Uint8Array.from(atob(content), character => character.charCodeAt(0));
  return window.app.handleFile(new File([bytes], "clip.safetensors"));
}"""


@pytest.fixture
def saved(server):
    """A saved latent, in base64, and the number of nodes of its workflow; made before Playwright's own event loop."""
    graph = Graph(steps=1)
    graph.add("UniAVGenSaveLatent", latent=graph.get("UniAVGenDecode", "latent"), filename_prefix="latents/dropped")
    (file,) = [file for file in server.run(graph.nodes).files() if file["filename"].endswith(".safetensors")]
    content = (server.folder / "output" / file["subfolder"] / file["filename"]).read_bytes()
    return base64.b64encode(content).decode(), len(graph.nodes)


@pytest.mark.parametrize("kind", ["UniAVGenSaveLatent", "UniAVGenSaveVideo"])
def test_a_date_in_the_name_of_a_file_is_filled_in_for_the_server_alone(page, kind):
    sent, is_kept = page.evaluate(NAMED, [kind, "%date:yyyy-MM-dd%/take_%width%"])
    assert re.fullmatch(r"20\d\d-\d\d-\d\d/take_%width%", sent)
    assert is_kept


def test_a_saved_latent_dropped_on_the_editor_opens_its_workflow(saved, page):
    content, count = saved
    page.evaluate(DROP, content)
    page.wait_for_function("window.app.graph.nodes.some(node => node.type === 'UniAVGenSaveLatent')")
    assert page.evaluate("window.app.graph.nodes.length") == count
