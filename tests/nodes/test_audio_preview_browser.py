"""In a browser: the sound preview's player appears on the node that samples, holds the sound, and is never saved."""

import base64
import io
import json
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.nodes.editor_scripts import LOOKS

pytestmark = pytest.mark.shares_pages

QUICK_START = Path(__file__).parents[2] / "workflows" / "api" / "quick_start.json"
FIND = "window.app.graph.nodes.find(node => node.type === 'UniAVGenSampler')"
INTO_VIEW = f"""() => {{
  const [x, y] = {FIND}.pos;
  Object.assign(window.app.canvas.ds, {{scale: 1, offset: [200 - x, 100 - y]}});
  window.app.canvas.setDirty(true, true);
}}"""
PLAYER = f"{FIND}.widgets.find(widget => widget.name === 'uniavgen_preview').player"
RUN_MS = 180_000
SEND = """message => import("/scripts/api.js").then(({ api }) => api.dispatchCustomEvent("uniavgen.audio_preview", {
    step: 5, steps: 25, segment: 2, segments: 3, count: 1, frames_per_picture: 4,
    wav: btoa("\\0".repeat(44 + 4800)), ...message
}))"""
DRAWS = """player => new Promise(done => {
    const draw = player.draw;
    let count = 0;
    player.draw = () => { count += 1; draw.call(player); };
    setTimeout(() => { delete player.draw; done(count); }, 1000);
})"""
COLOUR = "player => [...player.canvas.getContext('2d').getImageData(240, 100, 1, 1).data].join()"


def picture_of(colour):
    file = io.BytesIO()
    Image.new("RGB", (8, 4), colour).save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture(params=LOOKS["argvalues"], ids=LOOKS["ids"])
def settings(request):
    return request.param


@pytest.fixture
def page(page, request):
    """ComfyUI's front end with the parts of the quick start open and with a preview at every step."""
    page.evaluate("prompt => window.app.loadApiJson(prompt, 'parts')", json.loads(QUICK_START.read_text()))
    page.wait_for_function(FIND)
    seed = hash(request.node.name) % 100_000  # a cached result would never be sampled
    values = {"preset": "custom", "control_after_generate": "fixed", "audio_preview_every": 1, "steps": 3, "seed": seed}
    for name, value in values.items():
        page.evaluate(f"value => {FIND}.widgets.find(widget => widget.name === '{name}').value = value", value)
    page.evaluate(INTO_VIEW)
    return page


def test_the_player_appears_on_the_sampler_and_plays_only_when_asked(page):
    saved = page.evaluate(f"JSON.stringify({FIND}.serialize().widgets_values)")
    page.get_by_test_id("queue-button").click()
    button = page.get_by_role("button", name="Play the audio preview")
    expect(button).to_be_attached(timeout=RUN_MS)

    assert page.evaluate(f"{PLAYER}.duration") == pytest.approx(206 / 100)
    assert page.evaluate(f"Math.max(...{PLAYER}.samples.map(Math.abs))") > 0.001
    assert page.evaluate(f"{PLAYER}.isPlaying") is False
    assert page.evaluate(f"JSON.stringify({FIND}.serialize().widgets_values)") == saved
    page.wait_for_function(f"{PLAYER}.picture.naturalWidth > 0")
    drawn = f"""(() => {{
        const {{ canvas }} = {PLAYER}, data = canvas.getContext("2d").getImageData(0, 0, canvas.width, 200).data;
        return data.reduce((sum, value) => sum + value, 0);
    }})()"""
    page.wait_for_function(f"{drawn} > 0")

    expect(page.locator(".uniavgen-preview")).to_contain_text("result, 2.1 s", timeout=RUN_MS)
    button.dispatch_event("click")
    page.wait_for_function(f"{PLAYER}.isPlaying && {PLAYER}.time > 0.1")
    page.get_by_role("button", name="Stop the audio preview").dispatch_event("click")
    assert page.evaluate(f"{PLAYER}.isPlaying") is False
    page.wait_for_function(f"{PLAYER}.request === 0")
    assert page.evaluate(DRAWS, page.evaluate_handle(PLAYER)) == 0
    assert page.evaluate("document.querySelectorAll('.uniavgen-preview').length") == 1
    assert page.errors == []


def test_the_pictures_move_from_the_first_preview_to_the_result_and_then_nothing_is_drawn(page):
    node = page.evaluate(f"String({FIND}.id)")
    for colour, shown, is_result in (("red", "255,0,0,255", False), ("blue", "0,0,255,255", True)) * 2:
        page.evaluate(SEND, {"node": node, "pictures": picture_of(colour), "is_result": is_result})
        player = page.evaluate_handle(PLAYER)
        page.wait_for_function(f"player => ({COLOUR})(player) === '{shown}'", arg=player)
        assert (page.evaluate(DRAWS, player) == 0) is is_result
    page.evaluate(SEND, {"node": node, "pictures": picture_of("red"), "is_result": False})
    page.wait_for_function(f"player => ({COLOUR})(player) === '255,0,0,255'", arg=player)
    page.evaluate(f"window.app.graph.remove({FIND})")
    assert page.evaluate(DRAWS, player) == 0
    assert page.errors == []


def test_a_preview_for_an_unknown_node_is_ignored_and_a_removed_node_takes_its_player_along(page):
    page.evaluate(SEND, {"node": "12345:6", "pictures": ""})
    assert page.evaluate("document.querySelectorAll('.uniavgen-preview').length") == 0
    page.evaluate(SEND, {"node": page.evaluate(f"String({FIND}.id)"), "pictures": ""})
    page.wait_for_function("document.querySelectorAll('.uniavgen-preview').length === 1")
    expect(page.locator(".uniavgen-preview")).to_contain_text("segment 2 of 3, step 5 of 25, 0.1 s")
    page.evaluate(f"window.app.graph.remove({FIND})")
    page.wait_for_function("document.querySelectorAll('.uniavgen-preview').length === 0")
    assert page.errors == []
