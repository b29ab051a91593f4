"""The step cache under ComfyUI's samplers, on the bundled model."""

import re
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.nodes.graphs import GUIDANCE, Graph
from tests.nodes.studio import moving_frames, video_of
from tests.nodes.test_stock_nodes import clip_of, differ, pictures_of  # noqa: F401 - fixtures
from tests.parity.fixtures import relative_error
from uniavgen_core.diffusion.schedule import release_sigmas

ROOT = Path(__file__).parents[2]
STEPS = 12
ALWAYS = (1e6, 1e6)


@pytest.fixture(scope="module")
def clip(studio):
    """Conditionings and latent of a short clip."""
    return studio.task("joint", image=studio.image(), seconds=0.8125).args[:3]


@pytest.fixture
def told(studio, monkeypatch):
    """What the cache announced."""
    notices = []
    monkeypatch.setattr(studio.nodes.host.sampling.cached_sampling, "announce", notices.append)
    return notices


@pytest.fixture
def passes(studio):
    """How often the network ran, counted in its first layer."""
    counted = []
    network = studio.model.model.diffusion_model
    handle = network.patch_embedding.register_forward_hook(lambda *_: counted.append(1))
    yield counted
    handle.remove()


def patched(studio, thresholds=ALWAYS, start=0.0, end=1.0, model=None):
    return studio.nodes.samplers.StepCacheNode.execute(model or studio.model, *thresholds, start, end).args[0]


def sample(studio, model, clip, seed=0, guidance=GUIDANCE):
    with torch.inference_mode():
        sampler = studio.nodes.samplers.Sampler
        made = sampler.execute(model, *clip, seed, STEPS, 5.0, audio_preview_every=0, **guidance).args[0]
    return made["samples"].unbind()


def test_thresholds_of_zero_change_no_bit(studio, clip, told, passes):
    cached = sample(studio, patched(studio, (0.0, 0.0)), clip)
    assert len(passes) == 2 * STEPS
    assert told == [f"The step cache saved 0 of {2 * STEPS} calls of the network."]
    assert all(map(torch.equal, cached, sample(studio, studio.model, clip)))


def test_the_calls_it_tells_of_are_not_run_and_grow_with_the_threshold(studio, clip, told, passes):
    saved = []
    for threshold in (0.02, 0.1, 0.5):
        passes.clear()
        sample(studio, patched(studio, (threshold, threshold)), clip)
        saved.append(int(re.search(r"saved (\d+) of 24", told[-1])[1]))
        assert saved[-1] == 2 * STEPS - len(passes)
    assert saved == sorted(saved)
    assert saved[0] < saved[-1]


def test_the_editor_is_told_when_the_run_ends(studio, clip, monkeypatch):
    sent = []
    host = studio.nodes.host.notices
    server = SimpleNamespace(client_id="editor", send_sync=lambda *message: sent.append(message))
    monkeypatch.setattr(host, "running_server", lambda: server)
    monkeypatch.setattr(
        studio.nodes.host.sampling.sampling_checks, "notices_before_sampling", lambda *_: []
    )  # of length and size
    sample(studio, patched(studio, (0.0, 0.0)), clip)
    notice = {"notice": f"The step cache saved 0 of {2 * STEPS} calls of the network."}
    assert sent == [(host.EVENT, notice, "editor")]
    assert f'addEventListener("{host.EVENT}"' in (ROOT / "web" / "notices.js").read_text(encoding="utf-8")


def test_each_half_of_the_guidance_runs_two_null_passes_before_one_is_left_out(studio, clip, passes):
    sample(studio, patched(studio), clip)
    assert len(passes) == 2 + 2 + 2  # with conditions; without interaction; without texts


def test_a_run_knows_nothing_of_the_run_before(studio, clip, told):
    model = patched(studio, (0.2, 0.2))
    first = sample(studio, model, clip)
    other = sample(studio, model, clip, seed=1)
    again = sample(studio, model, clip)
    assert told[0] == told[2]
    assert all(map(torch.equal, first, again))
    assert relative_error(other[0], first[0]) > 0.01


def test_no_call_is_left_out_before_the_start_and_after_the_end(studio, clip, passes):
    sample(studio, patched(studio, start=0.5, end=0.8), clip)
    levels = release_sigmas(STEPS)[:-1]
    sampling = studio.model.get_model_object("model_sampling")
    start, end = (sampling.percent_to_sigma(percent) for percent in (0.5, 0.8))
    outside = int(((levels > start) | (levels < end)).sum())
    assert len(passes) >= 2 * outside
    assert len(passes) < 2 * STEPS


def test_a_later_cache_takes_the_place_of_an_earlier_one(studio, clip, told):
    sample(studio, patched(studio, (0.0, 0.0), model=patched(studio)), clip)
    assert told == [f"The step cache saved 0 of {2 * STEPS} calls of the network."]


def test_a_kept_picture_leaves_the_choice_to_the_sound(studio, told):
    video = video_of(moving_frames(13, 64, 64), Fraction(16))
    clip = studio.task("dubbing", video=video).args[:3]
    sample(studio, patched(studio, (1e-6, 9.0)), clip)
    sample(studio, patched(studio, (9.0, 1e-6)), clip)
    saved = [int(re.search(r"saved (\d+) of", notice)[1]) for notice in told]
    assert saved[0] > STEPS
    assert saved[1] == 0


def test_windows_of_a_long_clip_have_caches_of_their_own(studio, told):
    from comfy_extras.nodes_context_windows import ContextWindowsManualNode

    clip = studio.task("joint", image=studio.image(), seconds=1.5625).args[:3]
    options = (3, 1, "standard_static", 1, False, "pyramid", 2, False)
    windowed = ContextWindowsManualNode.execute(studio.model, *options).args[0]
    exact = sample(studio, windowed, clip)
    cached = sample(studio, patched(studio, (0.1, 0.1), model=windowed), clip)
    saved, calls = map(int, re.search(r"saved (\d+) of (\d+)", told[-1]).groups())
    assert calls >= 2 * 2 * STEPS
    assert saved >= 12  # half as many if one window's velocities are taken for another's
    assert relative_error(cached[0], exact[0]) < 0.1


def test_a_model_of_another_family_is_refused(studio):
    class WAN22:
        pass

    other = studio.model.clone()
    other.model = WAN22()
    with pytest.raises(ValueError, match="WAN22"):
        patched(studio, model=other)


def test_it_saves_calls_in_a_real_graph_and_the_picture_stays(pictures_of, server):  # noqa: F811
    plain = pictures_of(Graph(steps=STEPS))
    options = {"start_percent": 0.1, "end_percent": 0.95}
    graph = Graph(steps=STEPS).patch_model("UniAVGenStepCache", video_threshold=0.1, audio_threshold=0.1, **options)
    before = len(server.log)
    cached = pictures_of(graph)
    saved = int(re.search(r"The step cache saved (\d+) of 24 calls", server.log[before:])[1])
    assert saved > 0
    assert 0 < abs(cached - plain).mean() < 8
    zero = Graph(steps=STEPS).patch_model("UniAVGenStepCache", video_threshold=0.0, audio_threshold=0.0, **options)
    assert not differ(plain, pictures_of(zero))
