// Texts of the pack's own widgets in the language of the editor, from locales/*/main.json.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const texts = { options: {}, messages: {}, templates: {} };

async function load() {
  const languages = await (await api.fetchApi("/i18n")).json();
  const chosen = app.ui.settings.getSettingValue("Comfy.Locale");
  for (const language of ["en", chosen]) {
    const { options = {}, messages = {} } = languages[language]?.uniavgen ?? {};
    for (const [input, labels] of Object.entries(options)) texts.options[input] = { ...texts.options[input], ...labels };
    Object.assign(texts.messages, messages);
  }
  const [english, shown] = ["en", chosen].map((language) => languages[language]?.uniavgen?.templates);
  if (english && shown && chosen !== "en") texts.templates = { english, shown };
}

/** Labels of an input's options by value; undefined where values are shown as they are. */
export function optionLabels(input) {
  return texts.options[input];
}

/** Texts of the templates in English and in the language of the editor; neither where that is English. */
export function templateTexts() {
  return texts.templates;
}

/** A message, with values in the place of {names}. */
export function message(name, values = {}) {
  const text = texts.messages[name] ?? name;
  return Object.entries(values).reduce((filled, [key, value]) => filled.replace(`{${key}}`, value), text);
}

app.registerExtension({ name: "UniAVGen.Translations", init: load });
