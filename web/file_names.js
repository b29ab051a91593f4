// Replaces %date:yyyy-MM-dd% and %Node.widget% in the names of files that our nodes save; the editor does so for its own alone.
import { app } from "../../scripts/app.js";

app.registerExtension({
  name: "UniAVGen.FileNames",
  nodeCreated(node) {
    const widget = node.widgets?.find(({ name }) => name === "filename_prefix");
    const replace = window.comfyAPI?.utils?.applyTextReplacements;
    if (!widget || !replace || !node.comfyClass?.startsWith("UniAVGen")) return;
    widget.serializeValue = () => replace(app, widget.value);
  },
});
