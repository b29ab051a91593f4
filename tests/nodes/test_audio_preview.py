"""What is sent to the browser while the joint sampler runs, and that sending it changes nothing else."""

import base64
import io
import threading
import types
import wave

import av
import numpy as np
import pytest
import torch
from comfy.latent_formats import Wan22
from PIL import Image

from tests.nodes.graphs import Graph, node_of
from toon.clips import make_clip
from uniavgen_core.media.audio.mel import log_mel, normalize_mel

EVENT = "uniavgen.audio_preview"
MEL_FRAMES = 106  # of the graph's 17 video frames


@pytest.fixture
def run(server, tmp_path):
    """Run a graph; its previews, its pictures and its sound."""

    def follow(graph):
        graph.add("SaveImage", images=graph.get("UniAVGenSaveVideo", "images"), filename_prefix="preview")
        graph.add("SaveAudio", audio=graph.get("UniAVGenSaveVideo", "audio"), filename_prefix="preview")
        previews = []
        result = server.run(
            graph.nodes, on_event=lambda kind, data: previews.append(data) if kind == EVENT else None, timeout=300
        )
        files = sorted((file for file in result.files()), key=lambda file: file["filename"])
        kept = [file for file in files if file["filename"].endswith((".png", ".flac"))]
        return previews, [server.download(file, tmp_path / "file").read_bytes() for file in kept]

    return follow


def sound_of(preview):
    """Samples, 16 bit, and their rate."""
    with wave.open(io.BytesIO(base64.b64decode(preview["wav"]))) as file:
        assert file.getsampwidth() == 2
        assert file.getnchannels() == 1
        return np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()


def decode_flac(file):
    with av.open(io.BytesIO(file)) as container:
        frames = [frame.to_ndarray().ravel() for frame in container.decode(audio=0)]
    return np.concatenate(frames) / 32768


def test_previews_arrive_while_sampling_end_on_the_result_and_leave_it_the_same(run):
    steps, every = 20, 3
    graph = Graph(steps=steps).set("UniAVGenSampler", audio_preview_every=every, seed=5)
    previews, files = run(graph)
    assert 2 <= len(previews) <= steps // every + 1
    numbers = [preview["step"] for preview in previews]
    assert numbers[0] >= every
    assert numbers == sorted(set(numbers))
    assert [preview["is_result"] for preview in previews] == [False] * (len(previews) - 1) + [True]
    assert numbers[-1] == steps
    (decoded,) = [decode_flac(file) for file in files if file[1:4] != b"PNG"]
    assert np.abs(sound_of(previews[-1])[0] / 32767 - decoded).max() < 1e-3
    for preview in previews:
        samples, rate = sound_of(preview)
        assert (len(samples), rate) == (240 * MEL_FRAMES, 24_000)
        assert samples.std() > 1
        assert preview["node"] == node_of(graph.nodes, "UniAVGenSampler")
        assert preview["steps"] == steps
        picture = Image.open(io.BytesIO(base64.b64decode(preview["pictures"])))
        assert (preview["count"], preview["frames_per_picture"], picture.size) == (17, 1, (17 * 64, 64))

    silent, same = run(Graph(steps=steps).set("UniAVGenSampler", audio_preview_every=0, seed=5))
    assert silent == []
    assert len(files) == 18
    assert sorted(pixels(file) for file in files) == sorted(pixels(file) for file in same)


def pixels(file):
    """What a PNG shows, without the graph that is written into it; of other files, the end, which is sound."""
    return Image.open(io.BytesIO(file)).tobytes() if file[1:4] == b"PNG" else file[-4000:]


@pytest.fixture
def preview(pack, monkeypatch):
    """The module, with a server that keeps what it is told, in a node that runs."""
    module = pack.nodes.host.sampling.live_preview
    server = types.SimpleNamespace(client_id="somebody", sent=[], arrived=threading.Semaphore(0))

    def send_sync(event, message, client):
        server.sent.append((event, message, client))
        server.arrived.release()

    server.send_sync = send_sync
    monkeypatch.setattr(module, "running_server", lambda: server)
    monkeypatch.setattr(
        module, "get_executing_context", lambda: types.SimpleNamespace(node_id="7", prompt_id="a workflow")
    )
    return types.SimpleNamespace(module=module, server=server)


@pytest.fixture
def denoised():
    """A joint latent whose video latents can be told apart."""
    from comfy.nested_tensor import NestedTensor

    video = torch.arange(4.0)[None, None, :, None, None].expand(1, 48, 4, 2, 2)
    return NestedTensor([video, torch.zeros(1, 1, 12, 80)])


def listener_of(preview, every):
    return preview.module.SoundPreviews(preview.module.PreviewSettings(every), preview.module.PreviewPictures(Wan22()))


def wait(listener):
    if listener.worker:
        listener.worker.join(60)
        assert not listener.worker.is_alive()


def test_a_preview_is_made_every_so_many_steps_but_not_at_the_last(preview, denoised):
    listener = listener_of(preview, 2)
    for step in range(6):
        listener.step(step, denoised, 6)
        wait(listener)
    assert [message["step"] for _, message, _ in preview.server.sent] == [2, 4]
    event, message, client = preview.server.sent[0]
    assert (event, client) == (EVENT, "somebody")
    assert (message["node"], message["prompt_id"], message["steps"]) == ("7", "a workflow", 6)


def test_a_sampler_never_waits_for_a_preview(preview, denoised, monkeypatch):
    gate, begun = threading.Event(), []
    monkeypatch.setattr(preview.module, "preview_message", lambda *_: begun.append(gate.wait(60)) or {})
    listener = listener_of(preview, 1)
    for step in range(5):
        listener.step(step, denoised, 10)
    gate.set()
    wait(listener)
    assert [message["step"] for _, message, _ in preview.server.sent] == [1]
    listener.step(5, denoised, 10)
    wait(listener)
    assert [message["step"] for _, message, _ in preview.server.sent] == [1, 6]


def test_the_result_is_sent_though_a_step_is_still_being_made_and_that_step_is_not(preview, denoised, monkeypatch):
    gate, describe = threading.Event(), preview.module.preview_message

    def slow_for_steps(*parts):
        if parts[-1] is preview.module.FAST_VOCODER:
            gate.wait(60)
        return describe(*parts)

    monkeypatch.setattr(preview.module, "preview_message", slow_for_steps)
    listener = listener_of(preview, 1)
    listener.step(0, denoised, 10)
    worker = listener.worker
    listener.finish(denoised, 10)
    assert preview.server.arrived.acquire(timeout=60)
    gate.set()
    worker.join(60)
    assert [(message["step"], message["is_result"]) for _, message, _ in preview.server.sent] == [(10, True)]


def test_a_result_is_vocoded_once_for_its_preview_and_its_clip(preview, pack, denoised, monkeypatch):
    media, searched = pack.nodes.host.media, []
    vocoder = media.shared_griffin_lim.SharedGriffinLim()
    monkeypatch.setattr(vocoder, "vocoder", types.SimpleNamespace(decode=lambda mel: searched.append(mel) or mel[:, 0]))
    monkeypatch.setattr(media.vaes, "RESULT_VOCODER", vocoder)
    monkeypatch.setattr(preview.module, "RESULT_VOCODER", vocoder)
    listener = listener_of(preview, 1)
    listener.finish(denoised, 10)
    _, audio = denoised.unbind()
    sound = media.vaes.AudioVAE().synthesize(audio)
    wait(listener)
    assert len(searched) == 1
    assert sound[0, 0].equal(searched[0][:, 0].sum(0))
    media.vaes.AudioVAE().synthesize(audio + 1)
    assert len(searched) == 2


def test_nothing_is_sent_after_a_sampling_that_was_stopped(preview, denoised, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(preview.module, "preview_message", lambda *_: gate.wait(60) and {})
    listener = listener_of(preview, 1)
    listener.step(0, denoised, 10)
    listener.stop()
    gate.set()
    wait(listener)
    assert preview.server.sent == []


def test_without_sound_previews_there_is_none_of_the_result(preview, denoised):
    listener = listener_of(preview, 0)
    listener.finish(denoised, 10)
    assert listener.worker is None


def test_a_preview_that_fails_is_logged_and_left_out_and_the_next_one_comes(preview, denoised, caplog):
    listener = listener_of(preview, 1)
    video, audio = denoised.unbind()
    broken = type(denoised)([video, audio * torch.nan])
    for step, latent in enumerate((broken, denoised)):
        listener.step(step, latent, 10)
        wait(listener)
    assert [message["step"] for _, message, _ in preview.server.sent] == [2]
    assert [record.message for record in caplog.records if "preview" in record.message] == [
        "The audio preview of step 1 failed; sampling goes on."
    ]


@pytest.mark.parametrize("missing", ["running_server", "get_executing_context"])
def test_without_a_server_or_a_running_node_nothing_is_made(preview, denoised, monkeypatch, missing):
    monkeypatch.setattr(preview.module, missing, lambda: None)
    listener = listener_of(preview, 1)
    listener.step(0, denoised, 10)
    assert listener.worker is None


def test_the_preview_is_the_clips_sound(preview):
    clip = make_clip(3)
    mel = normalize_mel(log_mel(torch.from_numpy(clip.waveform)))
    message = preview.module.preview_message(
        torch.zeros(1, 48, 9, 2, 2), mel.T[None, None], preview.module.PreviewPictures(Wan22())
    )
    samples, _ = sound_of(message)
    heard = normalize_mel(log_mel(torch.from_numpy(samples / np.float32(32768))))
    off = (heard - mel)[:, mel.mean(0) > -1]
    assert (off - off.median()).abs().mean() < 0.15  # but for the one gain that keeps it under the ceiling


def test_the_shown_picture_moves_on_at_every_step_and_is_never_the_reference(preview, denoised, monkeypatch):
    shown = []
    monkeypatch.setattr(
        preview.module.latent_preview,
        "prepare_callback",
        lambda *_: lambda step, x0, _, total: shown.append((step, x0.unbind()[0].unique().tolist(), total)),
    )
    model = types.SimpleNamespace(model=types.SimpleNamespace(latent_format=Wan22()))
    with preview.module.live_previews(model, 4, preview.module.PreviewSettings(0, 3, 5)) as (on_step, _):
        for step in range(4):
            on_step(step, denoised, denoised, 4)
    assert shown == [(8, [1.0], 20), (9, [2.0], 20), (10, [3.0], 20), (11, [1.0], 20)]
