"""What is said beside the transcript: in a given sound, a voice and a kept part; and texts as released."""

import pytest

from tests.nodes.studio import notices_of, speech_at
from uniavgen_core.text.speech_tensors import SpokenText

WHOLE, SET = "match_audio", "set_seconds"
WRITTEN, SAID = "nice 3 “fish”", 'nice three "fish"'


@pytest.fixture(scope="module")
def sound(studio):
    """A second of speech."""
    audio = speech_at(studio.example()[1], 24_000, 1)
    return {**audio, "waveform": audio["waveform"][..., :24_000]}


def speech_of(studio, output):
    return studio.nodes.host.conditioning.pass_settings.pass_settings_of(output.args[0][0][1]).speeches[0]


def follow(studio, sound, transcript, audio_transcript="", length=WHOLE, **more):
    return studio.task(
        "audio_driven",
        transcript,
        audio=sound,
        length=length,
        seconds=2.0625,
        audio_transcript=audio_transcript,
        **more,
    )


def test_a_sound_without_its_words_is_told_with_what_that_costs(studio, sound):
    output = follow(studio, sound, None)
    assert "transcript of the audio is missing" in notices_of(output)
    assert "mouth opens less" in notices_of(output)
    assert speech_of(studio, output).text is None


@pytest.mark.parametrize(
    ("transcript", "audio_transcript"), [("red moon", ""), (None, "red moon"), ("red moon", "red moon")]
)
def test_the_words_of_a_sound_are_the_speech_text_wherever_they_are_written(
    studio, sound, transcript, audio_transcript
):
    output = follow(studio, sound, transcript, audio_transcript)
    assert speech_of(studio, output).text == "red moon"
    assert notices_of(output) == ""


def test_of_a_sound_that_fills_the_clip_its_own_words_count_and_the_transcript_is_named_as_unused(studio, sound):
    output = follow(studio, sound, "yes star", "red moon")
    assert speech_of(studio, output).text == "red moon"
    assert "transcript is ignored" in notices_of(output)


def test_before_what_is_said_after_a_sound_stand_the_sounds_own_words(studio, sound):
    speech = speech_of(studio, follow(studio, sound, "yes star", "red moon", SET))
    assert (speech.kept_transcript, speech.text, speech.start) == ("red moon", "yes star", 1.0)
    assert "transcript of the audio is missing" in notices_of(follow(studio, sound, "yes star", "", SET))


def test_sound_that_is_kept_whole_without_its_words_is_told(studio, sound):
    def kept(transcript):
        latent = studio.nodes.empty_latent.EmptyLatent.execute(64, 64, 0.8125).args[0]
        texts = studio.texts(transcript)
        return studio.nodes.keep.Keep.execute(*texts, latent, studio.video_vae, "", "all", audio=sound)

    assert "transcript of the kept audio is missing" in notices_of(kept(None))
    assert notices_of(kept("red moon")) == ""


def long_video_voice(studio, sound, monkeypatch):
    """Voice text of a long video's segment, and what its user is told before it is sampled."""
    seen, told, make_guider = [], [], studio.nodes.long_video.make_guider
    monkeypatch.setattr(studio.nodes.long_video, "announce", told.append)
    record = lambda model, positive, *rest: (seen.append(positive), make_guider(model, positive, *rest))[1]  # noqa: E731
    monkeypatch.setattr(studio.nodes.long_video, "make_guider", record)
    from tests.nodes.test_long import long_video

    long_video(studio, "red moon", voice=sound, voice_transcript=WRITTEN)
    settings = studio.nodes.host.conditioning.pass_settings.pass_settings_of(seen[0][0][1])
    return settings.speeches[0].voice_transcript, " ".join(told)


def said_of(studio, sound, case):
    """What becomes of a text beside the transcript, and the node's notices."""
    if case == "Task, voice":
        output = studio.task("reference_voice", seconds=1.0625, voice=sound, voice_transcript=WRITTEN)
        return speech_of(studio, output).voice_transcript, output
    if case == "Task, sound":
        output = follow(studio, sound, "hello", WRITTEN, SET)
        return speech_of(studio, output).kept_transcript, output
    if case == "Task, kept":
        plan = {"keep_seconds": 0.5, "seconds": 1.0, "result": "whole_clip", "kept_transcript": WRITTEN}
        output = studio.task("continuation", video=studio.example()[0], **plan)
        return speech_of(studio, output).kept_transcript, output
    if case == "Reference Voice":
        output = studio.nodes.speech_and_reference.ReferenceVoice.execute(*studio.texts(), sound, WRITTEN)
        return speech_of(studio, output).voice_transcript, output
    output = studio.nodes.speakers.OneSpeaker.execute("hello", 0, 0, voice=sound, voice_transcript=WRITTEN)
    return output.args[0].speech.voice_transcript, output


@pytest.mark.parametrize(
    ("case", "field"),
    [("Task, voice", "voice_transcript"), ("Task, sound", "audio_transcript"), ("Task, kept", "kept_transcript"),
     ("Reference Voice", "voice_transcript"), ("Speaker", "voice_transcript")],
)  # fmt: skip
def test_every_text_is_prepared_as_the_transcript_is_and_the_notice_names_its_field(studio, sound, case, field):
    text, output = said_of(studio, sound, case)
    assert text == SAID
    assert f"{field}: 3 became three." in notices_of(output)


def test_the_voice_text_of_a_long_video_is_prepared_too(studio, sound, monkeypatch, tmp_path):
    import folder_paths

    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path))
    text, notices = long_video_voice(studio, sound, monkeypatch)
    assert text == SAID
    assert "voice_transcript: 3 became three." in notices


@pytest.fixture
def passes(studio, monkeypatch):
    """Speech ids and interaction of every pass of the network."""
    seen, joint = [], studio.nodes.host.model.joint_model.JointModel
    forward = joint.forward

    def recorded(self, video, audio, timestep, conditions, *rest):
        seen.append((tuple(conditions.speech_ids[0].tolist()), conditions.interaction.value))
        return forward(self, video, audio, timestep, conditions, *rest)

    monkeypatch.setattr(joint, "forward", recorded)
    return seen


def ids_of(text):
    return SpokenText(text).ids


SMALL = {"size": "custom", "width": 64, "height": 64, "fit": "crop"}
RAW, RAW_VOICE = "Café 2  “moon” ", " Hi 3 “fish”"


def sample_voice(studio, sound, node, as_released):
    """Sample two steps of a clip with a voice."""
    inputs = {"seconds": 0.5625, "voice": sound, "voice_transcript": RAW_VOICE}
    if node == "Task":
        positive, negative = studio.texts(RAW)
        task = {"task": "reference_voice", **inputs}
        output = studio.nodes.task.Task.execute(positive, negative, studio.video_vae, SMALL, task, as_released)
        studio.sample(*output.args[:3], steps=2)
        return
    latent = studio.nodes.empty_latent.EmptyLatent.execute(64, 64, 0.5625).args[0]
    both = studio.nodes.speech_and_reference.ReferenceVoice.execute(
        *studio.texts(RAW), sound, RAW_VOICE, as_released
    ).args
    studio.sample(*both, latent, steps=2)


@pytest.fixture
def any_length(studio, monkeypatch):
    """Let the bundled model take texts that are too long for half a second, as a released model would."""
    monkeypatch.setattr(studio.nodes.host.sampling.sampling_checks, "check_transcript_length", lambda *_: None)


@pytest.mark.usefixtures("any_length")
@pytest.mark.parametrize("node", ["Task", "Reference Voice"])
def test_as_released_the_network_reads_what_is_written_and_the_late_null_pass_runs_both_ways(
    studio, sound, passes, node
):
    sample_voice(studio, sound, node, True)
    wanted, null = ids_of(f"{RAW_VOICE} {RAW}"), ids_of(f"{RAW_VOICE} ")
    assert set(passes) == {(wanted, "audio_to_video"), (null, "off"), (null, "both")}


@pytest.mark.usefixtures("any_length")
def test_otherwise_the_network_reads_prepared_texts_and_no_null_pass_runs_both_ways(studio, sound, passes):
    sample_voice(studio, sound, "Task", False)
    wanted, null = ids_of('Hi three "fish" Café two  "moon" '), ids_of('Hi three "fish" ')
    assert set(passes) == {(wanted, "audio_to_video"), (null, "off"), (null, "audio_to_video")}


@pytest.mark.parametrize("as_released", [True, False])
def test_as_released_holds_for_the_words_of_a_sound_and_of_a_kept_part(studio, sound, as_released):
    def text_of(name, field, **inputs):
        positive, negative = studio.texts("hello 2")
        task = {"task": name, **inputs}
        output = studio.nodes.task.Task.execute(positive, negative, studio.video_vae, SMALL, task, as_released)
        speech = speech_of(studio, output)
        return getattr(speech, field), speech.text

    transcript = "hello 2" if as_released else "hello two"
    expected = (WRITTEN if as_released else SAID, transcript)
    long = {"length": SET, "seconds": 2.0625}
    assert text_of("audio_driven", "kept_transcript", audio=sound, audio_transcript=WRITTEN, **long) == expected
    plan = {"video": studio.example()[0], "keep_seconds": 0.5, "seconds": 1.0, "result": "whole_clip"}
    assert text_of("continuation", "kept_transcript", kept_transcript=WRITTEN, **plan) == expected
