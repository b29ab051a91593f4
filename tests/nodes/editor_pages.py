"""Pages of ComfyUI's front end in a browser.

Chromium is Debian's, or any Chrome; ``dev.py test`` installs it where it may.
"""

import json
from contextlib import contextmanager

from playwright.sync_api import sync_playwright

from tests.nodes.editor_scripts import CLEAR, LOADED, START_SECONDS, errors_of
from tools.chromium import find_chromium

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
SETTINGS = {
    "Comfy.TutorialCompleted": True,  # else the template browser opens by itself, some time
    "Comfy.LinkRelease.Action": "search box",  # as in a new installation
    "Comfy.VueNodes.Enabled": False,
    "Comfy.Locale": "en",
}
SIZE = {"width": 1600, "height": 900}


class Editors:
    """Pages of the editor for the tests of a module, one for each of their settings: loading one takes seconds.

    Attributes:
        server: The server.
        browser: The browser.
    """

    def __init__(self, server, browser):
        self.server, self.browser, self._pages = server, browser, {}

    def page(self, settings):
        """The page for settings beside ``SETTINGS``, loaded, with the editor's default graph or about to get it."""
        key = json.dumps(settings, sort_keys=True)
        if key in self._pages:
            cleared(self._pages[key])
        else:
            page = self._pages[key] = page_of(self.browser, self.server, settings)
            page.goto(self.server.base_url)
            page.wait_for_function(LOADED, timeout=START_SECONDS * 1000)
        return self._pages[key]


def cleared(page):
    """Close what a test may have left open on a page, and open the editor's default graph."""
    page.set_viewport_size(SIZE)
    page.mouse.move(0, 0)
    for _ in range(2):
        page.keyboard.press("Escape")
    page.evaluate(CLEAR)
    page.errors.clear()


@contextmanager
def opened_browser():
    """A browser without pages."""
    path = find_chromium()
    assert path, "no Chromium or Chrome here; on Debian: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def page_of(browser, server, settings, size=SIZE):
    """An empty page for a server with settings beside ``SETTINGS``; ``errors`` will be those of its console."""
    server.post("/settings", SETTINGS | settings)
    page = browser.new_page(viewport=size)
    page.errors = []
    page.on("console", lambda message: page.errors.extend(errors_of(message)))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    return page
