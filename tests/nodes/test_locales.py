"""Texts of the nodes in the languages of ComfyUI: complete, of today's English, and shown in the editor."""

import re
from importlib import import_module

import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import expect

from tests.nodes.editor_scripts import ALONE, VUE, wait_for_default_graph
from tests.nodes.test_templates_browser import LOAD
from tools.comfy_server import PACK_NAME
from tools.locale_files import ENGLISH, FILES, LANGUAGES, english_files, faults, leaves, read
from tools.template_texts import template_texts
from tools.template_titles import TITLES

pytestmark = pytest.mark.shares_pages

CHINESE = {"Comfy.Locale": "zh"}
SENTENCES = ("description", "tooltip")
MOST_LETTERS = 40  # of a title that the canvas does not cut off at the notes' width
COMPILED = re.compile(r"[{}@|]")
"""Characters that vue-i18n reads as placeholders, links to other messages and plurals."""
PLACEHOLDER = re.compile(r"{\w+}")
NAMES = {
    *("model_name", "text_encoder", "video_vae", "vocoder", "recognizer", "portrait", "clip"),
    *("weight_dtype", "sampler_name"),
}
"""Inputs that offer names of files and toons, and ComfyUI's own names: these are shown as they are."""


@pytest.fixture(scope="module")
def schemas(pack):
    return [node.GET_SCHEMA() for node in pack.nodes.NODES]


@pytest.fixture(scope="module")
def labels(pack):
    return import_module(f"{pack.__name__}.nodes.labels").OPTION_LABELS


@pytest.fixture(scope="module")
def english(schemas, labels):
    return english_files(schemas, labels, template_texts())


def sentences(language):
    """Descriptions and tooltips of a language, by path."""
    texts = leaves(read(language, "nodeDefs.json"))
    return {path: text for path, text in texts.items() if path.rpartition("/")[2] in SENTENCES and text}


def options(inputs):
    """Yield the name of every choice and each of its values, those inside an option of another choice included."""
    for one in inputs:
        for option in getattr(one, "options", None) or ():
            yield one.id, str(getattr(option, "key", option))
            yield from options(getattr(option, "inputs", ()))


@pytest.fixture(scope="module")
def offered(schemas):
    """Names of choices with their values, of all nodes."""
    return {pair for schema in schemas for pair in options(schema.inputs)}


def test_the_english_files_are_made_from_todays_schemas(english):
    assert {name: read(ENGLISH, name) for name in FILES} == english


def test_descriptions_and_tooltips_are_whole_sentences():
    texts = sentences(ENGLISH)
    assert texts
    assert [path for path, text in texts.items() if not all(line.endswith(".") for line in text.split("\n"))] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_all_texts_and_no_others_and_they_are_translations_of_todays_english(language, english):
    assert faults(language, english) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_messages_have_the_placeholders_of_the_english_ones(language, english):
    wanted, found = leaves(english["main.json"]), leaves(read(language, "main.json"))
    assert {path: sorted(PLACEHOLDER.findall(text)) for path, text in found.items()} == {
        path: sorted(PLACEHOLDER.findall(text)) for path, text in wanted.items()
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_description_or_tooltip_is_left_in_english(language):
    original, translated = sentences(ENGLISH), sentences(language)
    assert translated
    assert [path for path, text in translated.items() if text == original.get(path)] == []


@pytest.mark.parametrize("language", [ENGLISH, *LANGUAGES])
def test_the_titles_of_notes_are_short_enough_to_be_read_on_the_canvas(language):
    titles = [note["title"] for note in read(language, "main.json")["uniavgen"]["templates"]["notes"].values()]
    assert titles
    assert [title for title in titles if len(title) > MOST_LETTERS] == []


@pytest.mark.parametrize("language", [ENGLISH, *LANGUAGES])
def test_texts_of_nodes_have_no_characters_that_the_editor_would_interpret(language):
    texts = leaves(read(language, "nodeDefs.json"))
    assert texts
    assert [path for path, text in texts.items() if COMPILED.search(text)] == []


def test_every_option_but_names_has_a_label(offered, labels):
    identifiers = {(name, value) for name, value in offered if name not in NAMES}
    assert identifiers
    assert [pair for pair in sorted(identifiers) if pair[1] not in labels.get(pair[0], {})] == []


def test_a_label_has_no_underscore(labels):
    shown = {label for values in labels.values() for label in values.values()}
    assert {label for label in shown if "_" in label} == {labels["result"]["best_take_resampled"]}  # names an input


def test_every_label_belongs_to_an_option(offered, labels):
    assert {(name, value) for name, values in labels.items() for value in values} - offered == set()


@pytest.fixture
def texts(page):
    """Chinese texts of UniAVGen Task; the editor shows its default graph."""
    wait_for_default_graph(page)
    return read("zh", "nodeDefs.json")["UniAVGenTask"]


@pytest.mark.parametrize("settings", [CHINESE | VUE])
def test_the_editor_shows_title_inputs_and_options_of_a_node_in_chinese(page, texts):
    tasks = read("zh", "main.json")["uniavgen"]["options"]["task"]
    page.evaluate(ALONE, "UniAVGenTask")
    inputs = texts["inputs"]
    for shown in (texts["display_name"], *(inputs[name]["name"] for name in ("positive", "size", "task_image"))):
        expect(page.get_by_text(shown, exact=True).first).to_be_visible()
    page.get_by_text(tasks["joint"], exact=True).click()
    offered = page.get_by_role("option")
    expect(offered).to_have_text(list(tasks.values()))
    offered.get_by_text(tasks["audio_driven"], exact=True).click()
    expect(page.get_by_text(inputs["task_audio"]["name"], exact=True).first).to_be_visible()


@pytest.mark.parametrize("settings", [CHINESE | VUE])
def test_the_editor_shows_a_template_and_a_box_of_its_library_in_chinese(page, texts):  # noqa: ARG001 - waits
    shown = read("zh", "main.json")["uniavgen"]["templates"]
    title, note = shown["boxes"]["Talking Person from a Picture"], shown["notes"]["quick_start"]["title"]
    page.evaluate(LOAD, [f"/api/workflow_templates/{PACK_NAME}/{TITLES['quick_start']}.json", "quick_start"])
    for text in (title, note, shown["titles"]["Save"]):
        expect(page.get_by_text(text, exact=True)).to_be_visible()
    box = page.locator("[data-node-id]").filter(has_text=title)
    for name in ("image", "source_media", "transcript", "seed", "vocoder"):
        expect(box.get_by_text(shown["labels"][name], exact=True).first).to_be_visible()
    made = page.evaluate("window.app.graphToPrompt()")
    assert "hello happy robot" in {node["inputs"].get("transcript") for node in made["output"].values()}
    (subgraph,) = made["workflow"]["definitions"]["subgraphs"]
    assert subgraph["name"] == title
    assert {"task.image", "transcript", "seed"} <= {slot["name"] for slot in subgraph["inputs"]}
    page.evaluate("window.app.graph.clear()")
    page.evaluate("window.app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    page.get_by_role("dialog").get_by_role("combobox").first.fill("Dub a Video")
    page.get_by_role("option", name="Dub a Video").first.click()
    page.wait_for_function("title => window.app.graph.nodes[0]?.title === title", arg=shown["boxes"]["Dub a Video"])
    assert shown["labels"]["transcript"] in page.evaluate("window.app.graph.nodes[0].inputs.map(slot => slot.label)")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_note_has_the_emphasis_links_and_code_of_the_english_one(language, english):
    wanted, found = (
        texts["uniavgen"]["templates"]["notes"] for texts in (english["main.json"], read(language, "main.json"))
    )
    assert {name: marks_of(note["text"]) for name, note in found.items()} == {
        name: marks_of(note["text"]) for name, note in wanted.items()
    }


def marks_of(text):
    """Marks of Markdown in a text: the number of its lines and of its words in bold, addresses, and code."""
    bold = len(text.split("**")) // 2
    return text.count("\n"), bold, re.findall(r"\]\((.*?)\)", text), sorted(re.findall("`[^`]+`", text))


@pytest.mark.parametrize("language", [ENGLISH, *LANGUAGES])
def test_every_mark_of_emphasis_in_a_note_renders(language):
    notes = read(language, "main.json")["uniavgen"]["templates"]["notes"]
    assert any("**" in note["text"] for note in notes.values())
    assert {name: marks for name, note in notes.items() if (marks := raw_marks(note["text"]))} == {}


@pytest.mark.parametrize("text", ["own**: Audio** is", "音频**\uff1a加载音频**\u3002", "** bold** x", "**bold **x"])
def test_marks_that_render_as_they_are_written_are_found(text):
    assert raw_marks(text)


def raw_marks(text):
    """Texts in which a Markdown renderer leaves asterisks as they are."""
    parts = [part for block in MarkdownIt().parse(text) for part in block.children or ()]
    return [part.content for part in parts if part.type == "text" and "*" in part.content]


@pytest.mark.parametrize("language", [ENGLISH, *LANGUAGES])
def test_a_tooltip_that_several_tasks_share_says_of_which_task_each_line_is(language):
    tooltips = leaves(read(language, "nodeDefs.json"))
    lines = [line for text in tooltips.values() if "\n" in text for line in text.split("\n")]
    tasks = read(language, "main.json")["uniavgen"]["options"]["task"]
    titles = tuple(re.split("\\s*[(\uff08]", title)[0] for title in tasks.values())
    assert lines
    assert [line for line in lines if not line.startswith(titles)] == []


@pytest.mark.parametrize("settings", [CHINESE])
def test_sockets_that_were_saved_with_english_labels_are_shown_in_chinese(page, texts):
    for task, sockets in (("joint", ["image"]), ("audio_driven", ["image", "audio"])):
        page.evaluate(ALONE, "UniAVGenTask")
        page.evaluate(CHOOSE, task)
        graph = page.evaluate("window.app.graph.serialize()")
        saved = {socket["name"]: socket for socket in graph["nodes"][0]["inputs"]}
        for socket in sockets:
            saved[f"task.{socket}"]["label"] = socket
        page.evaluate("graph => window.app.loadGraphData(graph)", graph)
        names = ("positive", "negative", "video_vae", *(f"task_{socket}" for socket in sockets))
        assert page.evaluate(SHOWN) == [texts["inputs"][name]["name"] for name in names], task


@pytest.mark.parametrize("settings", [CHINESE])
def test_empty_text_fields_show_their_names_in_chinese(page, texts):
    page.evaluate(ALONE, "UniAVGenTask")
    page.evaluate(CHOOSE, "audio_driven")
    name = texts["inputs"]["task_audio_transcript"]["name"]
    expect(page.get_by_placeholder(name, exact=True)).to_be_visible()
    page.evaluate(ALONE, "UniAVGenSpeaker")
    name = read("zh", "nodeDefs.json")["UniAVGenSpeaker"]["inputs"]["voice_transcript"]["name"]
    expect(page.get_by_placeholder(name, exact=True)).to_be_visible()


CHOOSE = "task => { window.app.graph.nodes[0].widgets.find(widget => widget.name === 'task').value = task; }"
SHOWN = """window.app.graph.nodes.filter(node => node.type === "UniAVGenTask").flatMap(node => node.inputs)
  .filter(input => !input.widget).map(input => input.label || input.localized_name)"""
"""Labels of the sockets of a task, as the canvas draws them."""
