// Shows what nodes of the pack have to say, about their input or while they run, as messages in the editor.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const SHOWN_FOR_MS = 10000;

function show(notice) {
  app.extensionManager?.toast?.add({ severity: "info", summary: "UniAVGen", detail: notice, life: SHOWN_FOR_MS });
}

app.registerExtension({
  name: "UniAVGen.Notices",
  setup() {
    api.addEventListener("executed", ({ detail }) => {
      for (const notice of detail.output?.uniavgen_notices ?? []) show(notice);
    });
    api.addEventListener("uniavgen.notice", ({ detail }) => show(detail.notice));
  },
});
