"""Retake: weak spans are found and sampled anew, a new take is kept only where it is better, and the rest stays."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from tests.clip_files import write_clip
from tests.nodes.graphs import GUIDANCE, Graph, node_of
from tests.nodes.studio import notices_of, video_of
from tests.nodes.test_sync import RATE, audio_of, images_of
from tools.contact_sheet import read_clip
from toon.clips import make_clip
from uniavgen_core.diffusion.sampling_presets import TOON_GUIDANCE, TOON_STEPS

pytestmark = pytest.mark.usefixtures("quick_sound")

SECONDS, TRANSCRIPT = 2.0625, "red bird yes"
LATE = slice(60, 120)
"""Mel frames, a hundredth of a second each, that are damaged."""
SAMPLING = {
    **GUIDANCE,
    "steps": TOON_STEPS,
    "shift": 5.0,
    "video_guidance": TOON_GUIDANCE.video_scale,
    "audio_guidance": TOON_GUIDANCE.audio_scale,
}


def sample(studio, positive, negative, latent):
    with torch.inference_mode():
        return studio.nodes.samplers.Sampler.execute(studio.model, positive, negative, latent, 0, **SAMPLING).args[0]


def retake(studio, latent, positive, negative, takes=1, **inputs):
    with torch.inference_mode():
        return studio.nodes.retake.RetakeNode.execute(
            studio.model, positive, negative, latent, studio.video_vae, studio.audio_vae,
            **{"threshold": 0.2, "takes": takes, "seed": 7, **SAMPLING, **inputs},
        )  # fmt: skip


@pytest.fixture(scope="module")
def clip(studio):
    """Conditionings, sampled LATENT and given media of a good clip."""
    size = {"width": 128, "height": 128}
    task = studio.task("joint", TRANSCRIPT, size, image=studio.image(), seconds=SECONDS)
    positive, negative, latent, given = task.args
    return positive, negative, sample(studio, positive, negative, latent), given


def damaged(latent):
    """The same LATENT with a part of its sound half a second late."""
    video, audio = latent["samples"].unbind()
    audio = audio.clone()
    audio[:, :, LATE] = audio.roll(50, 2)[:, :, LATE]
    return {**latent, "samples": type(latent["samples"])((video, audio))}


def parts(latent):
    return latent["samples"].unbind()


def spans_told(output):
    return spans_in(output.ui["text"][0])


def spans_in(text):
    return [tuple(map(float, found)) for found in re.findall(r"([\d.]+) to ([\d.]+) s", text)]


def test_a_good_clip_is_handed_on_as_it_is(studio, clip):
    positive, negative, latent, _ = clip
    output = retake(studio, latent, positive, negative)
    made, given, plot = output.args
    assert "No span" in output.ui["text"][0]
    assert all(map(torch.equal, parts(made), parts(latent)))
    for ours, own in zip(studio.decode(made, given)[:2], studio.decode(latent)[:2], strict=True):
        assert torch.equal(*(x["waveform"] if isinstance(x, dict) else x for x in (ours, own)))
    assert plot.shape == (1, 540, 960, 3)


def test_a_damaged_span_is_sampled_anew_and_all_the_rest_is_bit_equal(studio, clip):
    positive, negative, latent, _ = clip
    broken = damaged(latent)
    output = retake(studio, broken, positive, negative, takes=2)
    made, given, plot = output.args
    ((start, stop),) = spans_told(output)
    assert 0 < start <= 0.6 < 1.2 <= stop < 1.7  # windows of half a second see the damage from either side
    assert stop - start < 1.3
    assert "with seed" in output.ui["text"][0]
    images, audio, _ = studio.decode(made, given)
    before, sound, _ = studio.decode(broken)
    inside = slice(int(start * 16) + 1, int(stop * 16) - 1)
    kept = [*range(int(start * 16)), *range(int(stop * 16) + 1, len(before))]
    assert torch.equal(images[kept], before[kept])
    assert not torch.equal(images[inside], before[inside])
    samples = audio["waveform"][0, 0], sound["waveform"][0, 0]
    first, last = int((start - 0.005) * RATE), int((stop + 0.005) * RATE) + 2  # times are told in hundredths
    assert torch.equal(samples[0][:first], samples[1][:first])
    assert torch.equal(samples[0][last:], samples[1][last:])
    own, repaired = (mel[0, 0, LATE] for mel in (parts(latent)[1], parts(made)[1]))
    assert (repaired - own).abs().mean() < 0.5 * (parts(broken)[1][0, 0, LATE] - own).abs().mean()
    assert plot.std() > 0.1


def test_a_repaired_clip_has_no_weak_span(studio, clip):
    positive, negative, latent, _ = clip
    made, given, _ = retake(studio, damaged(latent), positive, negative, takes=2).args
    again = retake(studio, made, positive, negative, source_media=given)
    assert "No span" in again.ui["text"][0]
    assert given.is_generated
    assert not given.keeps_any


def test_the_best_take_is_chosen_for_a_span_and_the_clips_own_where_none_is_better(studio, clip, monkeypatch):
    positive, negative, latent, _ = clip
    node, broken, ratings = studio.nodes.retake, damaged(latent), []
    rate_clip = node.rate_clip

    def rate(*given):
        rated = rate_clip(*given)
        if ratings:
            value = ratings.pop()
            for scores in rated.scores.criteria.values():
                scores[:] = scores if value is None else value
        return rated

    monkeypatch.setattr(node, "rate_clip", rate)
    ratings += [None, 0.6, 0.9, 0.8, None]
    output = retake(studio, broken, positive, negative, takes=3)
    assert "now 0.90 with seed 8" in output.ui["text"][0]
    ratings += [0.05, 0.1, None]
    output = retake(studio, broken, positive, negative, takes=2)
    assert "the best new take has 0.10" in output.ui["text"][0]
    assert all(map(torch.equal, parts(output.args[0]), parts(broken)))


@pytest.mark.parametrize(("regenerate", "stays"), [("video", 1), ("audio", 0)])
def test_only_the_chosen_side_is_generated(studio, clip, regenerate, stays):
    positive, negative, latent, _ = clip
    broken = damaged(latent)
    made, given, _ = retake(studio, broken, positive, negative, regenerate=regenerate, threshold=0.2).args
    assert torch.equal(parts(made)[stays], parts(broken)[stays])
    images, audio, _ = studio.decode(made, given)
    before, sound, _ = studio.decode(broken)
    equal = [torch.equal(images, before), torch.equal(audio["waveform"], sound["waveform"])]
    assert equal[stays]


def test_the_users_own_sound_stays_and_only_the_picture_changes(studio):
    _, sound, words = studio.example()
    size = {"width": 128, "height": 128}
    task = studio.task("audio_driven", words, size, image=studio.image(), audio=sound, length="match_audio",
                       seconds=SECONDS)  # fmt: skip
    positive, negative, latent, given = task.args
    sampled = sample(studio, positive, negative, latent)
    video, audio = parts(sampled)
    late = video.clone()
    late[:, :, 3:6] = video.roll(2, 2)[:, :, 3:6]
    broken = {**sampled, "samples": type(sampled["samples"])((late, audio))}
    made, kept, _ = retake(studio, broken, positive, negative, source_media=given).args
    assert torch.equal(parts(made)[1], audio)
    assert not torch.equal(parts(made)[0], late)
    heard = studio.decode(made, kept)[1]["waveform"]
    assert torch.equal(heard, studio.decode(sampled, given)[1]["waveform"])
    assert kept.keeps_sound


def late_video():
    """A VIDEO of a toon whose sound is half a second late for a while, and its frames and AUDIO."""
    toon = make_clip(10_910_003, 65, split="held_out")
    sound = torch.from_numpy(toon.waveform).clone()
    sound[12_000:40_000] = torch.from_numpy(toon.waveform).roll(RATE // 2)[12_000:40_000]
    frames, audio = images_of(toon), audio_of(sound)
    return video_of(frames, 16, audio), frames, audio, toon.transcript


def test_weak_spans_of_a_video_are_sampled_anew_and_its_other_frames_and_samples_are_its_own(studio):
    video, frames, audio, transcript = late_video()
    positive, negative = studio.texts(transcript)
    latent = studio.nodes.empty_latent.EmptyLatent.execute(128, 128, 65 / 16).args[0]
    output = retake(studio, latent, positive, negative, video=video)
    made, given, _ = output.args
    ((start, stop),) = spans_told(output)
    assert np.abs(np.array([start, stop]) - (0.5, 40 / 24)).max() < 0.5
    images, sound, fps = studio.decode(made, given)
    first, last = int(start * 16), int(stop * 16) + 1
    assert fps == 16
    if "with seed" in output.ui["text"][0]:
        assert not torch.equal(images[first + 1 : last - 1], frames[first + 1 : last - 1])
    assert torch.equal(images[:first], frames[:first])
    assert torch.equal(images[last:65], frames[last:])
    samples = sound["waveform"][..., : audio["waveform"].shape[-1]]
    assert torch.equal(samples[..., : first * 1500], audio["waveform"][..., : first * 1500])
    assert torch.equal(samples[..., last * 1500 :], audio["waveform"][..., last * 1500 :])
    assert given.keeps_any


def test_inputs_that_exclude_each_other_are_named(studio, clip):
    positive, negative, latent, given = clip
    video, _, audio, _ = late_video()
    for inputs in ({"video": video, "source_media": given}, {"audio": audio}):
        with pytest.raises(ValueError, match="'video' is a finished clip"):
            retake(studio, latent, positive, negative, **inputs)


def test_a_clip_of_which_all_is_given_is_not_sampled(studio, clip):
    positive, negative, latent, _ = clip
    broken = damaged(latent)
    masks = type(latent["samples"])([torch.zeros(1, 1, 9, 1, 1), torch.zeros(1, 1, 206, 1)])
    output = retake(studio, {**broken, "noise_mask": masks}, positive, negative)
    assert "only your own media" in notices_of(output)
    assert all(map(torch.equal, parts(output.args[0]), parts(broken)))


def test_a_video_file_is_repaired_in_a_real_server(server, tmp_path):
    _, frames, audio, transcript = late_video()
    path = server.folder / "input" / "late_for_a_while.mp4"
    path.parent.mkdir(exist_ok=True)
    write_clip(path, (frames * 255).byte().numpy(), audio["waveform"][0, 0].numpy())
    graph = Graph(steps=TOON_STEPS, width=128, height=128, seconds=65 / 16)
    graph.set("UniAVGenSpeechText", transcript=transcript)
    video = graph.add("LoadVideo", file=path.name)
    links = {name: graph.get("UniAVGenDecode", name) for name in ("video_vae", "audio_vae")}
    links["latent"] = [node_of(graph.nodes, "UniAVGenEmptyLatent"), 0]
    made = graph.add(
        "UniAVGenRetake", model=graph.get("UniAVGenSampler", "model"), **graph.sampler_links(), **links, video=video,
        threshold=0.2, takes=1, regenerate="video_and_audio", seed=7, preset="custom", **SAMPLING,
    )  # fmt: skip
    graph.add("SaveImage", images=[made[0], 2], filename_prefix="retake_plot")
    graph.replace_sampler(made).set("UniAVGenDecode", source_media=[made[0], 1])
    graph.set("UniAVGenSaveVideo", source_media=[made[0], 1])
    result = server.run(graph.nodes)
    (text,) = result.outputs[made[0]]["text"]
    ((start, stop),) = spans_in(text)
    assert np.abs(np.array([start, stop]) - (0.5, 40 / 24)).max() < 0.5
    (file,) = [file for file in result.files() if file["filename"].startswith("retake_plot")]
    assert np.asarray(Image.open(server.download(file, tmp_path / "plot.png"))).shape == (540, 960, 3)
    (file,) = [file for file in result.files() if file["filename"].endswith(".mp4")]
    assert len(read_clip(server.download(file, tmp_path / "clip.mp4")).frames) == 65
