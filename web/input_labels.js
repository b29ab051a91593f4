// Shows inputs in the language of the editor where it would show their names: a socket that a choice of a task brings
// along would be "image", the last part of "task.image", and an empty text field would show "task.audio_transcript".
import { app } from "../../scripts/app.js";

/** True if an input belongs to an option of a choice and is no widget, so that the editor labels it with its name. */
function isNamedByEditor(name, properties) {
  const translation = properties?.localized_name;
  return name.includes(".") && !properties?.widget && Boolean(translation) && translation !== name;
}

/** Give a text field its translated name as the text that it shows while it is empty. */
function describeField(widget) {
  const { element: field, name, label } = widget ?? {};
  if (label && field?.placeholder === name) field.placeholder = label;
}

app.registerExtension({
  name: "UniAVGen.InputLabels",
  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("UniAVGen")) return;
    for (const input of node.inputs ?? []) if (isNamedByEditor(input.name, input)) input.label = undefined;
    node.widgets?.forEach(describeField);
    const addInput = node.addInput;
    node.addInput = function (name, type, properties) {
      describeField(this.widgets?.find((widget) => widget.name === properties?.widget?.name));
      // The editor gives no label to a socket that has one, and shows the translation where the label is empty.
      const added = isNamedByEditor(name, properties) ? { label: "", ...properties } : properties;
      return addInput.call(this, name, type, added);
    };
  },
});
