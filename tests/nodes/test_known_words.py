"""A model that knows little says so before it samples, and is silent when its text is over."""

import json
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.nodes.graphs import Graph
from tests.nodes.studio import moving_frames, video_of
from toon.clips.scene import VIDEO_FRAMES
from toon.clips.sentence import longest_sentence
from toon.clips.world import WORDS

LONG = (
    "a quick brown fox jumps over a lazy dog and then it says all of this again because it has so much time to say so."
)


@pytest.fixture
def told(studio, monkeypatch):
    """What is announced of texts when sampling starts."""
    notices = []
    monkeypatch.setattr(
        studio.nodes.host.sampling.sampling_checks, "notices_before_sampling", lambda *_: []
    )  # of length and size
    for module in (studio.nodes.host.sampling.sampling_checks, studio.nodes.host.conditioning.track_masks):
        monkeypatch.setattr(module, "announce", notices.append)
    return notices


def short(studio, transcript, seconds=0.8125, **more):
    """Sample a short clip; gives its LATENT."""
    name = "reference_voice" if "voice" in more else "joint"
    return studio.sample(*studio.task(name, transcript, seconds=seconds, **more).args[:3])


def test_words_that_the_model_does_not_know_are_told_with_those_it_knows(studio, told):
    short(studio, "good red day", 1.3125)
    (notice,) = told
    assert 'mispronounce others: "good", "day".' in notice
    assert ", ".join(WORDS) in notice


def test_of_many_known_words_those_spelled_like_the_unknown_are_named(studio):
    module = studio.nodes.host.conditioning.known_words
    known = module.KnownText(("orange", "house", *(f"word{n}x" for n in range(60))), 9)
    positive, _ = studio.texts("oranges qqq house")
    notice = module.unknown_words_notice(known, [options for _, options in positive])
    assert notice.endswith(
        'mispronounce others: "oranges", "qqq". Similar words that it knows: "orange" for "oranges".'
    )


def test_speech_left_to_chance_may_end_later(studio):
    module, speech = studio.nodes.host.conditioning.track_masks, studio.nodes.host.conditioning.pass_settings.Speech
    config = studio.model.model.diffusion_model.config.text
    early, late = (replace(config, position_margin=margin) for margin in (0.0, 0.4))
    assert module.end_of_speech(speech("one"), late) - module.end_of_speech(speech("one"), early) == 40
    plans = studio.nodes.host.long_video.plans
    assert plans.seconds_to_say("one", late) - plans.seconds_to_say("one", early) == pytest.approx(0.4)


def test_of_known_words_nothing_is_said(studio, told):
    short(studio, "red moon", 1.0625)
    assert told == []


def test_the_preset_of_the_bundled_model_is_what_it_was_trained_on(studio):
    known = studio.model.model.known_text
    assert known.words == WORDS
    assert known.longest_voice_text == longest_sentence(VIDEO_FRAMES)


@pytest.fixture
def known_text_of_file(studio, request, tmp_path):
    """What a copy of the bundled model with more metadata knows."""

    def load(metadata):
        with safe_open(str(request.config.rootpath / "uniavgen_core/assets/uniavgen_toon.safetensors"), "pt") as file:
            tensors, own = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
        save_file(tensors, tmp_path / "copy.safetensors", own | metadata)
        return studio.nodes.host.model.load_model.load_uniavgen(str(tmp_path / "copy.safetensors")).model.known_text

    return load


def test_a_files_metadata_says_what_its_model_knows(known_text_of_file):
    said = {"words": ["one", "word"], "longest_voice_text": 7}
    known = known_text_of_file({"uniavgen_known_text": json.dumps(said)})
    assert (known.words, known.longest_voice_text) == (("one", "word"), 7)
    assert known_text_of_file({"uniavgen_known_text": "{}"}) is None


def test_a_model_that_reads_any_text_says_nothing_of_words(studio, golden_model):
    assert golden_model.model.known_text is None
    words = studio.nodes.host.conditioning.known_words
    speech = studio.nodes.host.conditioning.pass_settings.PassSettings(
        (studio.nodes.host.conditioning.pass_settings.Speech("good morning", "x" * 200),)
    )
    entries = [{studio.nodes.host.conditioning.pass_settings.KEY: speech}]
    assert words.unknown_words_notice(None, entries) is None
    assert words.without_long_voice_texts(None, entries) == (entries, None)


def test_speech_without_a_transcript_is_told_and_a_given_sound_needs_none(studio, told):
    short(studio, None)
    assert any("No transcript reaches the sampler" in notice for notice in told)
    told.clear()
    sound = studio.example()[1]
    output = studio.task("audio_driven", None, audio=sound, length="set_seconds", seconds=0.5625)
    studio.sample(*output.args[:3])
    assert told == []


def test_words_of_a_given_sound_may_be_faster_than_the_model_speaks(studio):
    sound = studio.example()[1]
    output = studio.task("audio_driven", "red moon " * 9, audio=sound, length="set_seconds", seconds=0.5625)
    studio.sample(*output.args[:3])


def test_a_voice_text_longer_than_any_in_training_is_left_out_with_a_notice(studio, told):
    voice = studio.example()[1]
    assert len(LONG) == 113
    texts = {text: short(studio, "hello", voice=voice, voice_transcript=text) for text in (LONG, "", "hello nice fish")}
    without, known = (texts[text]["samples"].unbind()[1] for text in ("", "hello nice fish"))
    assert torch.equal(texts[LONG]["samples"].unbind()[1], without)
    assert not torch.equal(known, without)
    (notice,) = told
    assert "113 characters" in notice
    assert "more than the 29" in notice


def silent_frames(studio, latent, track=0):
    """Which mel frames of a track are silence."""
    audio = latent["samples"].unbind()[1][0, track]
    return (
        torch.isclose(audio, studio.nodes.host.conditioning.speaker_tracks.silence(len(audio)), atol=1e-4)
        .all(dim=-1)
        .tolist()
    )


def test_after_the_transcript_a_dubbed_video_is_silent_to_its_end(studio, told):
    video = video_of(moving_frames(65, 64, 64), Fraction(16))
    latent = studio.sample(*studio.task("dubbing", "red moon", video=video).args[:3])
    end = round(13.3 + 5.97 * len("red moon") + 30)
    silent = silent_frames(studio, latent)
    assert silent == [False] * end + [True] * (len(silent) - end)
    assert f"ends {(len(silent) - end) / 100:.1f} s before the clip does" in told[0]


def test_sound_that_is_kept_after_the_transcript_stays(studio):
    node, (positive, negative) = studio.nodes.keep.Keep, studio.texts("red")
    latent = studio.nodes.empty_latent.EmptyLatent.execute(64, 64, 2.0625).args[0]
    sound = studio.example()[1]
    kept = node.execute(positive, negative, latent, studio.video_vae, "", "1.2-", audio=sound, speech_start=0.2).args
    sampled = studio.sample(*kept[:3])
    end = round(20 + 13.3 + 5.97 * len("red") + 30)
    given, made = (latent["samples"].unbind()[1][0, 0] for latent in (kept[2], sampled))
    assert torch.equal(made[120:], given[120:])
    assert silent_frames(studio, sampled)[:120] == [False] * end + [True] * (120 - end)


def test_each_speakers_track_is_silent_after_its_own_transcript(studio):
    speaker, texts = studio.nodes.speakers.OneSpeaker.execute, studio.texts(None)
    latent = studio.nodes.empty_latent.EmptyLatent.execute(64, 64, 2.0625).args[0]
    speakers = {"a": speaker("red", 0, 1.5).args[0], "b": speaker("moon", 0.5, 0).args[0]}
    steering = {"mode": "replace", "strength": 1.0, "start_sigma": 1.0, "stop_sigma": 0.0}
    sampled = studio.sample(*studio.nodes.speakers.Speakers.execute(*texts, latent, speakers, **steering).args)
    first, second = (round(start + 13.3 + 5.97 * count + 30) for start, count in ((0, 3), (50, 4)))
    assert silent_frames(studio, sampled, 0) == [False] * first + [True] * (206 - first)
    assert silent_frames(studio, sampled, 1) == [True] * 50 + [False] * (second - 50) + [True] * (206 - second)


def test_a_model_that_places_words_by_itself_speaks_to_the_end(studio, golden_model):
    speech = studio.nodes.host.conditioning.pass_settings.Speech("hi")
    config = golden_model.model.diffusion_model.config.text
    assert studio.nodes.host.conditioning.track_masks.end_of_speech(speech, config) is None


def test_in_a_real_run_the_sampler_tells_of_unknown_words(server):
    told = []
    graph = (
        Graph(steps=1).set("UniAVGenSpeechText", transcript="good red day").set("UniAVGenEmptyLatent", seconds=1.3125)
    )
    server.run(graph.nodes, on_event=lambda kind, data: told.append(data) if kind == "uniavgen.notice" else None)
    assert any('mispronounce others: "good", "day".' in data["notice"] for data in told)
