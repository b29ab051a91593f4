"""Scripts that tests run in ComfyUI's editor."""

ALONE = """kind => {
  const app = window.app, node = window.LiteGraph.createNode(kind);
  app.graph.clear();
  node.pos = [500, 200];
  app.graph.add(node);
  Object.assign(app.canvas.ds, {scale: 1, offset: [0, 0]});
  app.canvas.setDirty(true, true);
}"""
"""Makes a node of a class, alone in its graph, in sight."""
