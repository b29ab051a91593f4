// Greys out the widgets that a preset replaces.
import { app } from "../../scripts/app.js";

const SAMPLING = ["steps", "shift", "sampler_name"];
const GUIDANCE = ["video_guidance", "audio_guidance", "modality_aware_share", "after_share", "skip_layer"];
const REPLACED = { custom: [], auto: [...SAMPLING, ...GUIDANCE], release: [...SAMPLING, ...GUIDANCE] };

function greyOut(node, preset) {
  const replaced = REPLACED[preset] ?? SAMPLING;
  for (const widget of node.widgets) {
    if ([...SAMPLING, ...GUIDANCE].includes(widget.name)) widget.disabled = replaced.includes(widget.name);
  }
  node.setDirtyCanvas?.(true, true);
}

function follow(node) {
  const preset = node.widgets?.find((widget) => widget.name === "preset");
  if (!preset) return;
  const callback = preset.callback;
  preset.callback = function (value, ...others) {
    callback?.call(this, value, ...others);
    greyOut(node, value);
  };
  greyOut(node, preset.value);
}

app.registerExtension({
  name: "UniAVGen.Presets",
  nodeCreated(node) {
    if (node.comfyClass?.startsWith("UniAVGen")) follow(node);
  },
  loadedGraphNode(node) {
    const preset = node.comfyClass?.startsWith("UniAVGen") && node.widgets?.find((widget) => widget.name === "preset");
    if (preset) greyOut(node, preset.value);
  },
});
