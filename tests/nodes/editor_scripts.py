"""Scripts that tests run in ComfyUI's editor, and what its console says."""

START_SECONDS = 60
LOADED = "window.app?.graph && window.app?.extensionManager"
CORE_ERRORS = ("Failed to load resource", "Content Security Policy", "graph accessed before initialization")
"""Errors about files that its start and its default graph look for in vain, and about its own order of start."""
VUE = {"Comfy.VueNodes.Enabled": True}
"""Settings of the editor in which Vue draws the nodes, not the canvas."""
LOOKS = {"argvalues": [{}, VUE], "ids": ["canvas", "Vue"]}
"""Parameters of the fixture ``settings`` for both looks of nodes."""

ALONE = """kind => {
  const app = window.app, node = window.LiteGraph.createNode(kind);
  app.graph.clear();
  node.pos = [500, 200];
  app.graph.add(node);
  Object.assign(app.canvas.ds, {scale: 1, offset: [0, 0]});
  app.canvas.setDirty(true, true);
}"""
"""Makes a node of a class, alone in its graph, in sight."""

CLEAR = """async () => {
  window.app.extensionManager.toast.removeAll();
  await window.app.loadGraphData();
}"""
"""Takes messages away, and opens the default graph."""


def errors_of(message):
    """An error of the console; not those that ComfyUI's front end has by itself, without the pack."""
    text = f"{message.text} {message.location.get('url', '')}"
    is_own = not any(core in text for core in CORE_ERRORS)
    return [text] if message.type == "error" and (is_own or "niavgen" in text.lower()) else []


def wait_for_default_graph(page):
    """Wait until the editor has loaded its default graph, which would replace nodes that a test adds."""
    page.wait_for_function("window.app.graph?.nodes.length", timeout=START_SECONDS * 1000)
    page.wait_for_timeout(1000)
