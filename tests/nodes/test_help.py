"""The help pages that the editor shows beside a node: complete, in two languages, and narrow enough for its panel."""

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.nodes.editor_scripts import ALONE, wait_for_default_graph
from tools.help_pictures import PICTURES
from tools.locale_files import node_texts, read

DOCS = Path(__file__).parents[2] / "web" / "docs"
COLUMNS, TABLE_LINE, UNBROKEN = 3, 110, 18
"""Most columns of a table, most characters of a line of one, and most of a name that has no place for a line break; the
panel is 220 to 300 pixels wide."""
PICTURE_WIDTH, PICTURE_BYTES = 600, 60_000
SELECT = "window.app.canvas.selectNode(window.app.graph.nodes[0])"


@pytest.fixture(scope="module")
def schemas(pack):
    """Schemas of all nodes, by id."""
    return {schema.node_id: schema for schema in (node.GET_SCHEMA() for node in pack.nodes.NODES)}


def pages_of(name):
    """The page for all languages without one of their own, the English and the Chinese one."""
    return [DOCS / f"{name}.md", DOCS / name / "en.md", DOCS / name / "zh.md"]


def names_of(schema):
    """Names of a node's inputs, those of the options of a choice included, and of its outputs."""
    texts = node_texts(schema, {})
    return [text["name"] for part in ("inputs", "outputs") for text in texts.get(part, {}).values()]


def lacking(page, names):
    """Those of the names that a page does not have, in any case."""
    text = page.read_text(encoding="utf-8")
    return [name for name in names if not re.search(rf"(?<![A-Za-z0-9_]){name}(?![A-Za-z0-9_])", text, re.IGNORECASE)]


def test_every_node_has_its_pages_and_no_page_is_left_over(schemas):
    assert {path.stem for path in DOCS.iterdir()} == set(schemas)
    assert [path for name in schemas for path in pages_of(name) if not path.is_file()] == []


def test_the_english_page_and_the_one_for_other_languages_are_the_same(schemas):
    for name in schemas:
        every, english, _ = pages_of(name)
        assert every.read_bytes() == english.read_bytes(), name


def test_every_input_and_output_of_a_node_is_named_in_its_pages(schemas):
    missing = {page: lacking(page, names_of(schema)) for name, schema in schemas.items() for page in pages_of(name)}
    assert {page.relative_to(DOCS): names for page, names in missing.items() if names} == {}


def test_chinese_pages_have_the_names_that_the_editor_shows_in_chinese():
    for name, node in read("zh", "nodeDefs.json").items():
        text = pages_of(name)[-1].read_text(encoding="utf-8")
        assert text.startswith(f"# {node['display_name']}\n")
        assert [entry["name"] for entry in node["inputs"].values() if entry["name"] not in text] == [], name


def test_the_tables_of_the_pages_fit_the_narrow_panel(schemas):
    for page in [page for name in schemas for page in pages_of(name)]:
        for line in page.read_text(encoding="utf-8").splitlines():
            if line.startswith("|"):
                assert line.count("|") <= COLUMNS + 1, (page, line)
                assert len(line) <= TABLE_LINE, (page, line)


def test_long_names_of_files_can_be_broken_into_lines(schemas):
    for page in [page for name in schemas for page in pages_of(name)]:
        for short, long in re.findall(r"`([^`\n]+)`|<code>(.+?)</code>", page.read_text(encoding="utf-8")):
            parts = re.split(r"<wbr>|[-\s]", short or long)
            assert max(map(len, parts)) <= UNBROKEN, (page, parts)


def test_every_page_shows_the_picture_of_its_node(schemas):
    assert set(PICTURES) == set(schemas)
    for name in schemas:
        path = DOCS / name / "node.jpg"
        assert path.stat().st_size <= PICTURE_BYTES
        assert Image.open(path).width == PICTURE_WIDTH
        for page in pages_of(name):
            sources = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
            assert sources == [f"{name}/node.jpg"], page


@pytest.mark.parametrize(
    ("settings", "title"),
    [({}, "Keep"), ({"Comfy.Locale": "zh"}, "保留区间"), ({"Comfy.Locale": "fr"}, "Keep")],
    ids=["en", "zh", "fr"],
)
def test_the_panel_shows_the_page_in_the_language_of_the_editor(page, title):
    wait_for_default_graph(page)
    page.evaluate(ALONE, "UniAVGenKeep")
    page.evaluate(SELECT)
    page.get_by_test_id("info-button").click()
    shown = page.locator(".node-help-content")
    expect(shown.locator("h1")).to_have_text(f"UniAVGen {title}")
    picture = shown.locator("img")
    expect(picture).to_be_attached()
    page.wait_for_function("picture => picture.complete && picture.naturalWidth", arg=picture.element_handle())
