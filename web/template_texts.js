// Shows our templates and boxes in the language of the editor: the editor itself translates nodes alone.
import { app } from "../../scripts/app.js";
import { templateTexts } from "./translations.js";

/** The name of the template whose English note a node shows; undefined for any other node. */
function templateOf(node, english) {
  if (node.type !== "MarkdownNote") return undefined;
  return Object.keys(english.notes).find((name) => english.notes[name].text === node.widgets_values?.[0]);
}

/** Give slots labels in the language of the editor; their names, by which graphs are saved, stay. */
function translateSlots({ inputs = [], outputs = [] }, labels) {
  for (const slot of [...inputs, ...outputs]) slot.label = labels[slot.label] ?? slot.label;
}

/** Translate a saved template, of which `note` is the note. */
function translateTemplate(graph, note, { boxes, labels, titles, notes }, name) {
  for (const node of graph.nodes) {
    if (boxes[node.title]) translateSlots(node, labels);
    node.title = boxes[node.title] ?? titles[node.title] ?? node.title;
  }
  for (const subgraph of graph.definitions?.subgraphs ?? []) {
    if (boxes[subgraph.name]) translateSlots(subgraph, labels);
    subgraph.name = boxes[subgraph.name] ?? subgraph.name;
  }
  Object.assign(note, { title: notes[name].title, widgets_values: [notes[name].text] });
}

/** Translate a box that comes from the node library. */
function translateBox(node, { boxes, labels }) {
  const title = boxes[node.title];
  if (!title) return;
  const { subgraph } = node;
  node.title = subgraph.name = title;
  for (const slot of subgraph.inputs) if (labels[slot.label]) subgraph.renameInput(slot, labels[slot.label]);
  for (const slot of subgraph.outputs) if (labels[slot.label]) subgraph.renameOutput(slot, labels[slot.label]);
}

app.registerExtension({
  name: "UniAVGen.TemplateTexts",
  beforeConfigureGraph(graph) {
    const { english, shown } = templateTexts();
    const note = shown && graph.nodes?.find((node) => templateOf(node, english));
    if (note) translateTemplate(graph, note, shown, templateOf(note, english));
  },
  nodeCreated(node) {
    const { shown } = templateTexts();
    // Its title and slots are set after this.
    if (shown && node.isSubgraphNode?.()) queueMicrotask(() => translateBox(node, shown));
  },
});
