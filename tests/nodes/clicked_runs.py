"""Templates that are run as people run them: opened in ComfyUI's front end, then Run is clicked."""

import json

from playwright.sync_api import expect

from tests.nodes.test_browser import wait_for_result
from tests.nodes.test_templates_browser import VIEW, load
from tools.comfy_client import Result
from tools.workflow import set_input

SHOWN_MS = 60_000
"""A result is fetched by the browser after the run has ended."""
COUNTER = "count"
NODE_ID = "title => String(window.app.graph.nodes.find(node => node.title === title).id)"
PLAYED = "video => video.readyState >= 1 && video.videoWidth > 0 && video.duration > 0"


class Editor:
    """A page of the front end on a server that has the pack in a folder of a name.

    Attributes:
        page: The page.
        labels: Messages of progress that the server sent as text, with the number of their node before them.
    """

    def __init__(self, page, server, folder):
        self.page, self.server, self.folder = page, server, folder
        self.labels = []
        page.on("websocket", lambda socket: socket.on("framereceived", self._hear))

    def _hear(self, frame):
        if isinstance(frame, bytes) and len(frame) < 1000:
            self.labels.append(frame)

    def open(self, name):
        """Open a template, with nothing told so far."""
        load(self.page, name, self.folder)
        self.page.errors.clear()
        self.labels.clear()

    def node(self, title):
        """The node of a title, as it is drawn by Vue."""
        return self.page.locator(f"[data-node-id='{self.page.evaluate(NODE_ID, title)}']")

    def click_run(self, count_at=None):
        """Click Run and wait for the end; the entry in the server's history.

        ``count_at`` is the title of a node before whose model a step cache counts the calls of the network.
        """
        before = set(self.server.get("/history"))
        if count_at:
            self.page.route("**/api/prompt", lambda route: route.continue_(post_data=counted(route, count_at)))
        with self.page.expect_response("**/api/prompt", timeout=SHOWN_MS):  # also lets the route above be served
            self.page.get_by_test_id("queue-button").click()
        entry = wait_for_result(self.server, before)
        self.page.unroute("**/api/prompt")
        assert entry["status"]["status_str"] == "success", entry["status"]["messages"]
        return entry

    def shown_video(self, entry):
        """Wait until the node *Save* plays the one video of a run, whole and in sight; the file."""
        (file,) = [file for file in Result(entry["outputs"]).files() if file["filename"].endswith(".mp4")]
        name = file["filename"]
        video = self.node("Save").locator(f"video[src*='{name}'], video:has(source[src*='{name}'])").first
        expect(video).to_be_attached(timeout=SHOWN_MS)
        self.page.wait_for_function(PLAYED, arg=video.element_handle(), timeout=SHOWN_MS)
        return file, video

    def wait_for_picture(self, title):
        """Wait until a node shows a picture."""
        picture = self.node(title).locator("img").first
        expect(picture).to_be_attached(timeout=SHOWN_MS)
        self.page.wait_for_function("image => image.naturalWidth > 0", arg=picture.element_handle(), timeout=SHOWN_MS)


def counted(route, title):
    """The request to run a graph, with a step cache of threshold 0 between a node and its model."""
    body = json.loads(route.request.post_data)
    workflow = body["prompt"]
    (loader,) = [number for number, node in workflow.items() if node["class_type"] == "UniAVGenLoadModel"]
    never = {"video_threshold": 0.0, "audio_threshold": 0.0, "start_percent": 0.0, "end_percent": 1.0}
    cache = {"class_type": "UniAVGenStepCache", "inputs": {"model": [loader, 0], **never}}
    body["prompt"] = {**set_input(workflow, title, "model", [COUNTER, 0]), COUNTER: cache}
    return json.dumps(body)


def is_in_view(box):
    """True if a box of an element lies within the window."""
    right, bottom = box["x"] + box["width"], box["y"] + box["height"]
    return box["x"] >= 0 and box["y"] >= 0 and right <= VIEW["width"] and bottom <= VIEW["height"]
