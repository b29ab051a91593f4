"""Words that people type into ComfyUI's node search lead to the pack's nodes and boxes."""

import pytest
from playwright.sync_api import expect

from tests.nodes.editor_scripts import wait_for_default_graph

FIRST = 3
WORDS = {
    "talking head": "UniAVGen Task",
    "lip sync": "Lip-sync a Picture to Audio",
    "lipsync": "UniAVGen",
    "dub": "Dub a Video",
    "dubbing": "UniAVGen",
    "text to speech": "UniAVGen",
    "TTS": "UniAVGen Speech Text",
    "avatar": "UniAVGen",
    "voice clone": "UniAVGen",
    "speech": "UniAVGen",
    "audio video": "UniAVGen",
    "portrait animation": "UniAVGen",
    "long video": "Long",
    "数字人": "UniAVGen",
    "对口型": "UniAVGen",
    "配音": "UniAVGen",
    "声音克隆": "UniAVGen",
}
"""Words, and a part of the name of a node or a box that has to be among the first three found."""


@pytest.fixture
def search(page):
    """Function from words to the names that the node search shows, best first."""
    wait_for_default_graph(page)
    page.keyboard.press("Escape")
    page.evaluate("window.app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    box = page.get_by_role("dialog").get_by_role("combobox").first

    def found(words):
        box.fill(words)
        page.wait_for_timeout(600)  # the search waits for a pause in typing
        options = page.get_by_role("option")
        expect(options.first).to_be_visible()
        return [text.strip() for text in options.all_inner_texts()]

    return found


def test_the_right_node_is_among_the_first_three(search):
    found = {words: search(words)[:FIRST] for words in WORDS}
    assert {words: names for words, names in found.items() if not any(WORDS[words] in name for name in names)} == {}
