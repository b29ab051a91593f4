"""Pages of ComfyUI's front end in a browser.

Chromium is Debian's, or any Chrome; ``dev.py test`` installs it where it may.
"""

from contextlib import contextmanager

from playwright.sync_api import sync_playwright

from tests.nodes.editor_scripts import errors_of
from tools.chromium import find_chromium

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
SETTINGS = {
    "Comfy.TutorialCompleted": True,  # else the template browser opens by itself, some time
    "Comfy.LinkRelease.Action": "search box",  # as in a new installation
    "Comfy.VueNodes.Enabled": False,
    "Comfy.Locale": "en",
}
SIZE = {"width": 1600, "height": 900}


@contextmanager
def opened_page(server, settings, size=SIZE):
    """An empty page for a server with settings beside ``SETTINGS``; ``errors`` will be those of its console."""
    path = find_chromium()
    assert path, "no Chromium or Chrome here; on Debian: apt-get install chromium"
    server.post("/settings", SETTINGS | settings)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page(viewport=size)
        page.errors = []
        page.on("console", lambda message: page.errors.extend(errors_of(message)))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        yield page
        browser.close()
    server.post("/settings", SETTINGS)
