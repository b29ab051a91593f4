// Shows the portrait or the clip that an example node has chosen, before anything runs.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const KINDS = {
  UniAVGenToonPortrait: { widget: "portrait", tag: "img" },
  UniAVGenToonClip: { widget: "clip", tag: "video" },
};
const WIDGET = "uniavgen_toon_preview";
const HEIGHT = 220;

function previewOn(node, { widget: name, tag }) {
  const element = document.createElement(tag);
  element.style.cssText = "width:100%;height:100%;min-height:0;object-fit:contain";
  if (tag === "video") Object.assign(element, { controls: true, loop: true, preload: "metadata" });
  const options = { serialize: false, hideOnZoom: false, getMinHeight: () => HEIGHT };
  node.addDOMWidget(WIDGET, WIDGET, element, options).serialize = false;
  const chosen = node.widgets.find((widget) => widget.name === name);
  const show = (value) => (element.src = api.apiURL(`/uniavgen/examples/${value}`));
  const callback = chosen.callback;
  chosen.callback = function (value, ...others) {
    callback?.call(this, value, ...others);
    show(value);
  };
  show(chosen.value);
  node.setSize([node.size[0], Math.max(node.size[1], node.computeSize()[1])]);
  return () => show(chosen.value);
}

app.registerExtension({
  name: "UniAVGen.ToonPreview",
  nodeCreated(node) {
    const kind = KINDS[node.comfyClass];
    if (!kind) return;
    const refresh = previewOn(node, kind);
    const configured = node.onConfigure;
    node.onConfigure = function (...values) {
      configured?.apply(this, values);
      refresh(); // the value of a saved graph is set without a callback
    };
  },
});
