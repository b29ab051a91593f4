// Functions that tools.make_templates calls in ComfyUI's editor, as one object.
({
  /** Stack nodes in columns: `columns` are lists of ids; width and gaps are pixels of the canvas. */
  place({ columns, width, between, gap }) {
    const { graph } = window.app;
    for (const widget of graph.nodes.flatMap((node) => node.widgets ?? [])) {
      if (widget.name === "control_after_generate") widget.value = "fixed";
    }
    let x = 0;
    for (const ids of columns) {
      let y = 0;
      for (const id of ids) {
        const node = graph.getNodeById(id);
        node.setSize([width, Math.max(node.computeSize()[1], 60)]);
        node.pos = [x, y];
        y += node.size[1] + gap;
      }
      x += width + between;
    }
  },

  /** Put nodes into a subgraph, and show widgets of theirs on it. Its outputs follow the inputs that they lead to, and
   * are named after these where they have no name of their own. */
  box({ title, description, ids, widgets, aliases }) {
    const { graph } = window.app;
    const isInside = new Set(ids.map(String));
    const leaving = graph.nodes
      .filter((node) => !isInside.has(String(node.id)))
      .flatMap((node) => node.inputs.map((input, slot) => ({ node, slot, link: graph.links.get(input.link) })))
      .filter(({ link }) => link && isInside.has(String(link.origin_id)))
      .map(({ node, slot, link }) => {
        const from = graph.getNodeById(link.origin_id);
        node.disconnectInput(slot);
        return { node, slot, from: from.title, output: link.origin_slot };
      });
    const { subgraph, node } = graph.convertToSubgraph(new Set(ids.map((id) => graph.getNodeById(id))));
    subgraph.name = node.title = title;
    subgraph.description = description;
    const inner = (name) => subgraph.nodes.find((other) => other.title === name);
    const promoted = subgraph.inputs.filter((_, index) => node.inputs[index].link == null);
    for (const input of promoted) subgraph.removeInput(input); // texts and seeds, which the editor shows by itself
    for (const { owner, widget, label } of widgets) {
      const slot = inner(owner).inputs.find((input) => input.widget?.name === widget);
      subgraph.addInput(label, String(slot.type)).connect(slot, inner(owner));
    }
    const made = new Map();
    for (const { node: target, slot, from, output } of leaving) {
      const { name: own, type } = inner(from).outputs[output];
      const name = own === String(type) ? target.inputs[slot].name.split(".").at(-1) : own; // no name: only its type
      if (!made.has(`${from}/${output}`)) {
        subgraph.addOutput(name, String(type)).connect(inner(from).outputs[output], inner(from));
        made.set(`${from}/${output}`, made.size);
      }
      node.connect(made.get(`${from}/${output}`), target, slot);
    }
    for (const slot of [...subgraph.inputs, ...subgraph.outputs, ...node.inputs, ...node.outputs]) {
      slot.label = slot.name.split(".").at(-1);
    }
    return node.id;
  },

  /** Lay out what is left at the top: `columns` are lists of {title, width, height}; heights of 0 are the node's own. */
  arrange({ columns, left, gap, stack }) {
    const { graph } = window.app;
    let x = left;
    for (const column of columns) {
      let y = 0;
      for (const { title: name, width, height } of column) {
        const node = graph.nodes.find((other) => other.title === name);
        node.setSize([width, height || node.computeSize()[1]]);
        node.pos = [x, y];
        y += node.size[1] + stack; // room for nodes in the editor's other look, which are taller
      }
      x += Math.max(...column.map(({ width }) => width)) + gap;
    }
  },

  /** Add a note of Markdown. */
  note({ title, text }) {
    const node = window.LiteGraph.createNode("MarkdownNote");
    window.app.graph.add(node);
    node.title = title;
    node.widgets[0].value = text;
  },

  /** Show all nodes as large as they fit into `width` x `height`; returns their height on screen. */
  fit({ width, height }) {
    const { ds } = window.app.canvas;
    const { nodes } = window.app.graph;
    const left = Math.min(...nodes.map((node) => node.pos[0]));
    const top = Math.min(...nodes.map((node) => node.pos[1])) - 40;
    const right = Math.max(...nodes.map((node) => node.pos[0] + node.size[0]));
    const bottom = Math.max(...nodes.map((node) => node.pos[1] + node.size[1]));
    ds.scale = Math.min(width / (right - left), height / (bottom - top));
    ds.offset = [80 / ds.scale - left, 110 / ds.scale - top];
    window.app.canvas.setDirty(true, true);
    return (bottom - top) * ds.scale;
  },

  /** The graph as the editor saves it, and as it sends it to the server. */
  async read() {
    const made = await window.app.graphToPrompt();
    return { graph: made.workflow, api: made.output };
  },
})
