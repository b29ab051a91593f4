// Shows what nodes of the pack have to say about their input as messages in the editor.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const SHOWN_FOR_MS = 10000;

app.registerExtension({
  name: "UniAVGen.Notices",
  setup() {
    api.addEventListener("executed", ({ detail }) => {
      for (const notice of detail.output?.uniavgen_notices ?? []) {
        app.extensionManager?.toast?.add({ severity: "info", summary: "UniAVGen", detail: notice, life: SHOWN_FOR_MS });
      }
    });
  },
});
