"""Long videos: segments that continue each other, joined without a seam, kept when a run is stopped."""

import threading
import types
from dataclasses import replace

import av
import comfy.model_management
import pytest
import torch

from benchmarks.peak import peak_of
from tests.nodes.graphs import GUIDANCE
from tests.nodes.studio import notices_of
from tests.nodes.video_files import sound_of
from tests.sounds import rms_db
from uniavgen_core.diffusion.sampling_presets import PRESETS
from uniavgen_core.media.audio.loudness import CEILING

pytestmark = pytest.mark.usefixtures("quick_sound")

SCRIPT = "hello happy robot\nred moon\nbye bye star"


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """ComfyUI's output folder."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path))
    return tmp_path


def made(*args, **inputs):
    """Images, AUDIO, frames a second and segments of a long video."""
    video, segments = long_video(*args, **inputs).args
    parts = video.get_components()
    return parts.images, parts.audio, parts.frame_rate, segments.splitlines()


def long_video(studio, script=SCRIPT, steps=1, size=64, length="full_segments", **inputs):
    inputs = {"keep_seconds": 0.5625} | inputs
    positive, negative = studio.texts(None)
    chosen = size if isinstance(size, dict) else {"size": "custom", "width": size, "height": size, "fit": "crop"}
    given = {"image": studio.image()} | inputs
    with torch.inference_mode():
        return studio.nodes.long_video.LongVideoNode.execute(
            studio.model, positive, negative, studio.video_vae, studio.audio_vae, script=script, size=chosen,
            segment_seconds=2.0625, length=length, seed=3, steps=steps, shift=5.0,
            **given, **GUIDANCE,
        )  # fmt: skip


def count_samples(studio, monkeypatch, stop_at=None):
    """Count sampling runs; raise what Cancel raises when number ``stop_at`` begins."""
    calls, run_sampler = [], studio.nodes.long_video.run_sampler

    def counted(*args):
        if len(calls) == stop_at:
            raise comfy.model_management.InterruptProcessingException
        calls.append(args)
        return run_sampler(*args)

    monkeypatch.setattr(studio.nodes.long_video, "run_sampler", counted)
    return calls


def test_joins_have_no_seam_in_sound_or_picture(studio, folder):
    """Round a join the sound is as loud as the segments have it there, and the picture moves no more than elsewhere.

    Each segment has one gain, which makes it as loud as the others and cuts nothing off.
    """
    images, audio, fps, texts = made(studio, steps=2, size=128)
    waveform, kept = audio["waveform"][0, 0], 9
    segments = [load_segment(studio, path) for path in sorted(folder.rglob("segment_*.mkv"))]
    assert texts == SCRIPT.splitlines()
    assert fps == 16
    assert len(images) == 33 + 24 + 24
    assert len(waveform) == len(images) * 1500
    assert waveform.abs().max() <= CEILING * 1.00001
    assert max(segment.waveform.abs().max() for segment in segments) > 1  # stored at the mel's own level
    own = slice(20_000, 30_000)  # speech, between two joins
    gains = []
    for number, segment in enumerate(segments):
        found = waveform[number * 24 * 1500 :][own]
        gains.append(rms_db(found) - rms_db(segment.waveform[own]))
        torch.testing.assert_close(found, 10 ** (gains[-1] / 20) * segment.waveform[own], rtol=1e-3, atol=1e-5)
    differences = (images[1:] - images[:-1]).abs().mean(dim=(1, 2, 3))
    around = 2400
    for number in (1, 2):
        frame = 33 + 24 * (number - 1)
        assert differences[frame - 1] <= 2 * differences.median()
        join = frame * 1500
        before, after = segments[number - 1].waveform, segments[number].waveform
        end, start = len(segments[number - 1].frames) * 1500, kept * 1500
        joined = level(waveform[join - around : join])
        parts = before[end - around : end], after[start - around : start]
        own = [level(part, gain) for gain, part in zip(gains[number - 1 :], parts, strict=False)]
        assert min(own) - 3 < joined < max(own) + 3
        later = level(waveform[join : join + around])
        assert abs(later - level(after[start : start + around], gains[number])) < 3


def level(waveform, gain=0.0):
    """Loudness at a gain, dB; what is not heard counts as -60."""
    return max(-60.0, gain + rms_db(waveform))


def test_a_segment_is_as_loud_as_the_others_of_its_film(studio):
    """Whatever level each was made at, and though one begins with what it shares with a loud one."""
    store, generator = studio.nodes.host.long_video.segment_store, torch.Generator().manual_seed(0)
    frames = torch.zeros(33, 8, 8, 3, dtype=torch.uint8)
    words = torch.randn(33 * 1500, generator=generator) * (torch.arange(33 * 1500) % 12_000 < 8_000)
    segments = [store.Segment(frames, level * words) for level in (0.4, 1.2, 0.2)]
    segments[2].waveform[: 9 * 1500] = segments[1].waveform[-9 * 1500 :]
    film = studio.nodes.host.long_video.joined_segments.join_speech(segments, 9).waveform[0]
    own = [film[start : start + 8_000] for start in (12_000, 72_000, 96_000 + 12_000)]
    levels = [rms_db(part) for part in own]
    assert max(levels) - min(levels) < 1.5
    assert abs(film.abs().max() - CEILING) < 1e-4


def load_segment(studio, path):
    read = studio.nodes.host.media.lossless_clip.read_lossless
    return studio.nodes.host.long_video.segment_store.Segment(*read(path))


def unfinished(folder):
    """Components of the video of what a stopped run has finished, which a thread writes."""
    from comfy_api.latest import InputImpl

    for thread in threading.enumerate():
        if thread.name.startswith("UniAVGen"):
            thread.join()
    (video,) = folder.rglob("finished_so_far.mp4")
    return InputImpl.VideoFromFile(str(video)).get_components()


def test_a_stopped_run_keeps_what_is_finished_and_goes_on_there(studio, folder, monkeypatch):
    with monkeypatch.context() as patch:
        calls = count_samples(studio, patch, stop_at=2)
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            long_video(studio)
        assert len(calls) == 2
    assert len(unfinished(folder).images) == 33 + 24
    with monkeypatch.context() as patch:
        calls = count_samples(studio, patch)
        resumed = made(studio)
        assert len(calls) == 1
    for path in folder.rglob("segment_*"):
        path.unlink()
    whole = made(studio)
    assert torch.equal(resumed[0], whole[0])
    assert torch.equal(resumed[1]["waveform"], whole[1]["waveform"])


def test_a_changed_line_makes_the_segments_from_there_on_anew(studio, monkeypatch):
    long_video(studio)
    calls = count_samples(studio, monkeypatch)
    long_video(studio, SCRIPT.replace("red moon", "red sun"))
    assert len(calls) == 2


@pytest.mark.parametrize("damage", [lambda data: data[:1000], lambda data: data[:9000] + bytes(5000) + data[14_000:]])
def test_a_damaged_segment_is_named_set_aside_and_made_anew(studio, folder, monkeypatch, damage):
    first = made(studio, "hello robot", keep_segments=True)[0]
    (path,) = folder.rglob("segment_001*.mkv")
    path.write_bytes(damage(path.read_bytes()))
    calls = count_samples(studio, monkeypatch)
    output = long_video(studio, "hello robot")
    assert path.name in notices_of(output)
    assert "damaged" in notices_of(output)
    assert len(calls) == 1
    assert path.exists()
    assert path.with_name(path.name + ".damaged").exists()
    assert torch.equal(output.args[0].get_components().images, first)


def tasks_of(studio, monkeypatch, **inputs):
    """Positive conditionings of the segments."""
    seen, make_guider = [], studio.nodes.long_video.make_guider
    record = lambda model, positive, *rest: (seen.append(positive[0][1]), make_guider(model, positive, *rest))[1]  # noqa: E731
    monkeypatch.setattr(studio.nodes.long_video, "make_guider", record)
    long_video(studio, "hello robot\nred moon", **inputs)
    return seen


def test_every_segment_shows_the_person_of_the_image(studio, monkeypatch):
    key = studio.nodes.host.conditioning.pass_settings.REFERENCE_IMAGE_KEY
    first, second = tasks_of(studio, monkeypatch)
    assert torch.equal(first[key], second[key])


def unsampled(_guider, _sampler, _sigmas, latent, *_):
    """In the place of sampling, where only what is sampled from matters."""
    return latent


def wide(studio):
    """A picture that is not square, 188x128."""
    return torch.nn.functional.pad(studio.image(), (0, 0, 60, 0))


@pytest.mark.parametrize("size", ["square", "match_input"])
def test_every_segment_shows_a_picture_of_other_proportions_alike(studio, monkeypatch, size):
    chosen = {"size": size, "short_side": 64} | ({"fit": "crop"} if size == "square" else {})
    monkeypatch.setattr(studio.nodes.long_video, "run_sampler", unsampled)
    first, second = tasks_of(studio, monkeypatch, size=chosen, image=wide(studio))
    key = studio.nodes.host.conditioning.pass_settings.REFERENCE_IMAGE_KEY
    assert torch.equal(first[key], second[key])


def test_a_long_video_tells_what_a_crop_takes_before_it_samples(studio, monkeypatch):
    told = []
    monkeypatch.setattr(studio.nodes.long_video, "announce", told.append)

    def sampled(*args):
        assert any("32% of the image (188x128) is cropped off" in notice for notice in told)
        return unsampled(*args)

    monkeypatch.setattr(studio.nodes.long_video, "run_sampler", sampled)
    long_video(studio, "hello", image=wide(studio))


def test_every_segment_speaks_in_the_given_voice(studio, monkeypatch):
    key = studio.nodes.host.conditioning.pass_settings.REFERENCE_VOICE_KEY
    first, second = tasks_of(studio, monkeypatch, voice=studio.example()[1], voice_transcript="hello nice fish")
    assert torch.equal(first[key], second[key])


def test_progress_counts_over_the_whole_script(studio, monkeypatch):
    shown = []
    monkeypatch.setattr(
        studio.nodes.host.sampling.live_preview.latent_preview,
        "prepare_callback",
        lambda *_: lambda step, _denoised, _noisy, total: shown.append((step, total)),
    )
    long_video(studio, steps=2)
    assert shown == [(step, 6) for step in range(6)]


def test_the_node_says_which_segment_it_is_at(studio, monkeypatch):
    """Each run is told which segment it is, for the sound preview; the text goes out by ComfyUI's own message."""
    told, calls = [], count_samples(studio, monkeypatch)
    server = types.SimpleNamespace(
        client_id="somebody", send_progress_text=lambda *said: told.append(said), send_sync=lambda *_: None
    )
    notices = studio.nodes.host.notices
    monkeypatch.setattr(notices, "running_server", lambda: server)
    monkeypatch.setattr(notices, "get_executing_context", lambda: types.SimpleNamespace(node_id="5:3", prompt_id=""))
    long_video(studio, "hello happy robot\nred moon")
    assert [(args[-1].segment, args[-1].segments) for args in calls] == [(1, 2), (2, 2)]
    texts = ["Segment 1 of 2: hello happy robot", "Segment 2 of 2: red moon", "2 segments, 3.6 s"]
    assert told == [(text, "5:3", "somebody") for text in texts]


def test_a_preset_samples_every_segment_its_own_way(studio, monkeypatch):
    calls = count_samples(studio, monkeypatch)
    long_video(studio, "hello happy robot\nred moon", preset="fast")
    preset = PRESETS["fast"]
    levels = studio.nodes.host.sampling.run_sampler.preset_sigmas(studio.nodes.sampling_widgets.PRESETS["fast"])
    assert [len(call[2]) for call in calls] == [preset.steps + 1] * 2
    assert all(torch.equal(call[2], levels) for call in calls)
    assert all(preset.sampler in call[1].sampler_function.__name__ for call in calls)


def test_the_releases_preset_guides_every_segment_as_the_release(studio, monkeypatch):
    presets, guided = studio.nodes.sampling_widgets.PRESETS, []
    monkeypatch.setitem(presets, "release", replace(presets["release"], steps=1))
    make_guider = studio.nodes.long_video.make_guider
    monkeypatch.setattr(studio.nodes.long_video, "make_guider", lambda *a: guided.append(a[-1]) or make_guider(*a))
    long_video(studio, "hello happy robot\nred moon", preset="release")
    assert guided == [presets["release"].guidance] * 2


def test_a_line_that_is_too_long_is_cut_at_a_sentence(studio):
    texts = long_video(studio, "hello happy robot. red moon star. bye").args[1].splitlines()
    assert " ".join(texts) == "hello happy robot. red moon star. bye"
    assert len(texts) > 1


def test_segments_that_add_nothing_are_refused(studio):
    plans = studio.nodes.host.long_video.plans
    settings = plans.SegmentSettings(0.5625, 0.5625, False, 0)
    with pytest.raises(ValueError, match="add nothing"):
        plans.plan_script("hello", settings, studio.model.model.diffusion_model.config.text)
    with pytest.raises(ValueError, match="add nothing"):
        plans.plan_film(torch.zeros(24_000), 1.0, settings)


def long_sound(studio, rate=24_000, clips=("toon_7", "toon_3", "toon_8")):
    """The sounds of some toons one after the other, 6.2 s."""
    from tests.nodes.studio import speech_at

    parts = [speech_at(studio.example(clip)[1], rate)["waveform"] for clip in clips]
    return {"waveform": torch.cat(parts, -1), "sample_rate": rate}


@pytest.mark.parametrize("rate", [24_000, 44_100])
def test_a_sound_of_any_length_drives_a_film_and_comes_back_sample_for_sample(studio, folder, rate):
    sound = long_sound(studio, rate)
    images, audio, fps, segments = made(studio, "", audio=sound)
    assert audio["sample_rate"] == rate
    assert torch.equal(audio["waveform"], sound["waveform"])
    seconds = sound["waveform"].shape[-1] / rate
    assert 0 <= len(images) / fps - seconds < 1 / 16
    assert len(segments) == len(list(folder.rglob("segment_*"))) >= 4


def test_every_segment_is_driven_by_its_own_part_of_the_sound_and_says_its_words(studio, monkeypatch):
    keys, latents, conditionings = studio.nodes.host.conditioning.pass_settings, [], []
    make_guider = studio.nodes.long_video.make_guider

    def made(model, positive, *rest):
        conditionings.append(positive[0][1])
        return make_guider(model, positive, *rest)

    def sampled(_guider, _sampler, _sigmas, latent, *_):
        latents.append(latent)
        return latent

    monkeypatch.setattr(studio.nodes.long_video, "make_guider", made)
    monkeypatch.setattr(studio.nodes.long_video, "run_sampler", sampled)
    script = "hello nice fish red bird yes nine star cloud"
    long_video(studio, script, audio=long_sound(studio), length="fit_text")
    masks = [latent["noise_mask"].unbind() for latent in latents]
    assert not any(audio.any() for _, audio in masks)
    assert [int((video == 0).sum()) for video, _ in masks] == [1] + [3] * (len(masks) - 1)
    settings = [keys.pass_settings_of(conditioning) for conditioning in conditionings]
    assert {each.interaction.value for each in settings} == {"audio_to_video"}
    said = [each.speeches[0].text or "" for each in settings]
    begins = [each.speeches[0].start for each in settings]
    assert begins[0] < 0.1
    assert max(begins) > 0.4  # words that are heard later are not expected from the beginning on
    assert said[0].startswith("hello")
    assert next(filter(None, reversed(said))).endswith("cloud")
    mels = [latent["samples"].unbind()[1][0, 0] for latent in latents]
    for (video, _), before, after in zip(masks, mels, mels[1:], strict=False):
        start = (4 * (video.shape[2] - 1) + 1 - 9) * 100 // 16  # of what the next segment shares
        torch.testing.assert_close(before[start + 4 : start + 46], after[4:46], rtol=0, atol=1e-2)


def test_segments_share_two_latents_of_picture_by_default_where_the_sound_is_given_and_three_else(studio, monkeypatch):
    latents = []
    monkeypatch.setattr(
        studio.nodes.long_video, "run_sampler", lambda _g, _s, _t, latent, *_: latents.append(latent) or latent
    )
    for given, shared in (({"audio": long_sound(studio)}, 2), ({}, 3)):
        latents.clear()
        long_video(studio, keep_seconds=0.0, **given)
        masks = [latent["noise_mask"].unbind()[0] for latent in latents]
        assert {int((video == 0).sum()) for video in masks[1:]} == {shared}


def test_a_stopped_film_of_a_sound_keeps_its_part_of_it_and_goes_on(studio, folder, monkeypatch):
    sound = long_sound(studio)
    with monkeypatch.context() as patch:
        count_samples(studio, patch, stop_at=2)
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            long_video(studio, "", audio=sound)
    kept = unfinished(folder)
    with monkeypatch.context() as patch:
        calls = count_samples(studio, patch)
        images, _, _, segments = made(studio, "", audio=sound)
        assert len(calls) == len(segments) - 2
    assert 33 < len(kept.images) < len(images)
    assert abs(kept.audio["waveform"].shape[-1] / kept.audio["sample_rate"] - len(kept.images) / 16) < 0.1


def test_a_sound_longer_than_an_hour_is_refused_and_a_blank_script_only_without_a_sound(studio):
    node = studio.nodes.long_video.LongVideoNode
    with pytest.raises(ValueError, match="at most 60 min"):
        long_video(studio, "", audio={"waveform": torch.zeros(1, 1, 3_700_000), "sample_rate": 1000})
    with pytest.raises(ValueError, match="script is empty"):
        long_video(studio, "")
    assert "script" in node.validate_inputs({}, script=" ", size={"size": "square"})
    assert node.validate_inputs({"audio": "AUDIO"}, script=" ", size={"size": "square"}) is True


@pytest.mark.parametrize(("length", "frames"), [("full_segments", {33}), ("fit_text", set(range(13, 34, 4)))])
def test_full_segments_are_sampled_at_full_length_and_what_follows_their_cut_is_dropped(
    studio, monkeypatch, length, frames
):
    seen = []

    def sampled(_guider, _sampler, _sigmas, latent, *_):
        seen.append(4 * (latent["samples"].unbind()[0].shape[2] - 1) + 1)
        return latent

    monkeypatch.setattr(studio.nodes.long_video, "run_sampler", sampled)
    sound = long_sound(studio)
    images, *_ = made(studio, "", audio=sound, length=length)
    assert set(seen) <= frames
    assert 0 <= len(images) / 16 - sound["waveform"].shape[-1] / 24_000 < 1 / 16


def test_a_given_sound_is_in_the_file_sample_for_sample(studio, tmp_path):
    sound = long_sound(studio, 44_100)
    sound["waveform"] = (sound["waveform"] * 2**15).round() / 2**15
    long_video(studio, "", audio=sound).args[0].save_to(str(tmp_path / "film.mp4"))
    codec, rate, samples = sound_of(tmp_path / "film.mp4")
    assert (codec, rate) == ("flac", 44_100)
    assert torch.equal(samples.float(), sound["waveform"][0])


@pytest.mark.parametrize(("crf", "bit_depth", "form"), [(40, None, "yuv420p"), (None, 10, "yuv420p10le")])
def test_save_videos_choices_of_quality_are_taken(studio, tmp_path, crf, bit_depth, form):
    video = long_video(studio, "hello robot").args[0]
    video.save_to(str(tmp_path / "own.mp4"))
    video.save_to(str(tmp_path / "chosen.mp4"), crf=crf, bit_depth=bit_depth)
    with av.open(str(tmp_path / "chosen.mp4")) as file:
        assert file.streams.video[0].codec_context.pix_fmt == form
    sizes = [(tmp_path / name).stat().st_size for name in ("chosen.mp4", "own.mp4")]
    assert crf is None or sizes[0] < 0.7 * sizes[1]


def test_a_film_is_streamed_and_trimmed_as_other_videos_are(studio, tmp_path):
    video = long_video(studio, "hello robot\nred moon").args[0]
    images = video.get_components().images
    part = video.as_trimmed(1.0, 1.0).get_components().images
    luma = torch.tensor([0.2126, 0.7152, 0.0722])  # H.264 halves the resolution of colors
    near, beside = (10 * torch.log10(1 / ((part - images[at : at + 16]) @ luma).square().mean()) for at in (16, 17))
    assert near > 38
    assert near > beside + 6
    assert len(images) == video.get_frame_count() == round(16 * video.get_duration())
    with pytest.raises(ValueError, match="mp4"):
        video.save_to(str(tmp_path / "film.webm"), format="webm")


def test_saving_takes_no_more_memory_for_a_longer_film(studio, tmp_path):
    """At most a few segments of 4 s are in memory, whether the film lasts 10 s or 60."""
    store_module, film = studio.nodes.host.long_video.segment_store, studio.nodes.host.long_video.film
    joined = studio.nodes.host.long_video.joined_segments

    def peak(segments):
        store = store_module.SegmentStore(tmp_path, f"{segments:012}")
        finished = store_module.FinishedSegments(store)
        for number in range(segments):
            frames = torch.full((65, 96, 96, 3), number, dtype=torch.uint8)
            store.save(number, f"{number}", store_module.Segment(frames, torch.zeros(65 * 1500)))
            finished.add(f"{number}")

        def save():
            made = film.Film(finished, joined.JoinedPictures(finished, 1), joined.join_speech(finished, 1))
            made.write(tmp_path / f"{segments}.mp4")

        return peak_of(save)

    assert peak(15) < 1.3 * peak(3)


def test_a_film_whose_segments_are_gone_says_what_to_do(studio, folder, tmp_path):
    video = long_video(studio, "hello robot").args[0]
    for path in folder.rglob("segment_*"):
        path.unlink()
    with pytest.raises(ValueError, match="start_over"):
        video.save_to(str(tmp_path / "film.mp4"))
