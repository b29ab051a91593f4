// Shows labels in the place of a choice's values, which are identifiers in files.
import { app } from "../../scripts/app.js";
import { optionLabels } from "./translations.js";

function label(widget) {
  const labels = widget?.type === "combo" && optionLabels(widget.name.split(".").at(-1));
  if (labels) widget.options.getOptionLabel = (value) => labels[value] ?? value ?? "";
}

app.registerExtension({
  name: "UniAVGen.OptionLabels",
  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("UniAVGen")) return;
    node.widgets?.forEach(label);
    const addWidget = node.addWidget;
    node.addWidget = function (...values) {
      const widget = addWidget.apply(this, values); // a choice of a task brings widgets of its own
      label(widget);
      return widget;
    };
  },
});
