// Lets Nodes 2.0 show the plot of a node with a video input, whose images it would take for videos.
import { app } from "../../scripts/app.js";

app.registerExtension({
  name: "UniAVGen.ImagePreviews",
  nodeCreated(node) {
    if (node.comfyClass === "UniAVGenRetake") node.previewMediaType = "image";
  },
});
