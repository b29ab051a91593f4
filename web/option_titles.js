// Shows titles in the place of a choice's values, which are names in files; a node's schema brings them along.
import { app } from "../../scripts/app.js";

app.registerExtension({
  name: "UniAVGen.OptionTitles",
  nodeCreated(node) {
    const inputs = node.constructor.nodeData?.input?.required ?? {};
    for (const widget of node.widgets ?? []) {
      const titles = inputs[widget.name]?.[1]?.uniavgen_titles;
      if (titles) widget.options.getOptionLabel = (value) => titles[value] ?? value ?? "";
    }
  },
});
