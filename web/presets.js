// Greys out the widgets that a preset replaces; the schema of its widget names them.
import { app } from "../../scripts/app.js";

const REPLACED = "uniavgen_replaced";

/** Widgets by the preset that replaces them; undefined for a node without presets. */
function replacedOn(node) {
  return node.constructor.nodeData?.input?.required?.preset?.[1]?.[REPLACED];
}

function greyOut(node, replaced) {
  const preset = node.widgets.find((widget) => widget.name === "preset");
  const all = new Set(Object.values(replaced).flat());
  for (const widget of node.widgets) {
    if (all.has(widget.name)) widget.disabled = (replaced[preset.value] ?? []).includes(widget.name);
  }
  node.setDirtyCanvas?.(true, true);
}

app.registerExtension({
  name: "UniAVGen.Presets",
  nodeCreated(node) {
    const replaced = replacedOn(node);
    if (!replaced) return;
    const preset = node.widgets.find((widget) => widget.name === "preset");
    const callback = preset.callback;
    preset.callback = function (...values) {
      callback?.apply(this, values);
      greyOut(node, replaced);
    };
    greyOut(node, replaced);
  },
  loadedGraphNode(node) {
    const replaced = replacedOn(node);
    if (replaced) greyOut(node, replaced); // the value of a saved graph is set without a callback
  },
});
