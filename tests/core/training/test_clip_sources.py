"""What a training set's lines say, and which frames and samples of a file become a clip."""

import json
import wave

import numpy as np
import pytest

from tests.core.training.toon_files import counting_frames, line_of, write_shard, write_video
from uniavgen_core.media.audio.mel import PEAK
from uniavgen_core.shapes import SAMPLE_RATE
from uniavgen_core.training.data.clip_decoding import decode_clip
from uniavgen_core.training.data.clip_form import ClipForm, parse_size
from uniavgen_core.training.data.clip_record import BadClipError, ClipRecord, parse_record
from uniavgen_core.training.data.clip_sources import open_source

GOOD = {"path": "a.mp4", "caption": "A woman.", "transcript": "hello", "speaker": "anna"}
SMALL = ClipForm((32, 32), fewest_frames=5)


def clicks(seconds, every=0.5, rate=SAMPLE_RATE):
    """A short loud tone at every half second, the k-th one as high as k tells."""
    time = np.arange(round(seconds * rate)) / rate
    number = np.floor(time / every)
    return np.where(time % every < 0.05, np.sin(2 * np.pi * 200 * (1 + number) * time), 0).astype(np.float32)


def test_a_whole_line_is_read():
    record = parse_record({**GOOD, "span": [1, 2.5], "language": "en", "licence": "unknown here"}, "m, line 1")
    assert record == ClipRecord("a.mp4", "A woman.", "hello", "anna", "en", (1.0, 2.5))


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"speaker": None}, "bad line", "speaker is None"),
        ({"caption": 3}, "bad line", "caption is 3"),
        ({"path": " "}, "bad line", "path is empty"),
        ({"speaker": ""}, "bad line", "speaker is empty"),
        ({"transcript": "  "}, "no transcript", "transcript is empty"),
        ({"language": 1}, "bad line", "language is 1"),
        ({"span": [2, 1]}, "bad line", r"span is \[2, 1\]"),
        ({"span": [0, float("nan")]}, "bad line", "span is"),
        ({"span": [True, 2]}, "bad line", "span is"),
        ({"span": [-1, 2]}, "bad line", "span is"),
        ({"span": "0-1"}, "bad line", "span is '0-1'"),
    ],
)
def test_a_bad_field_is_named_with_its_place(changes, reason, words):
    with pytest.raises(BadClipError, match=f"m, line 4: {words}") as caught:
        parse_record({**GOOD, **changes}, "m, line 4")
    assert caught.value.reason == reason


@pytest.mark.parametrize("name", ["path", "caption", "transcript", "speaker"])
def test_a_missing_field_is_named(name):
    values = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(BadClipError, match=f"{name} is missing"):
        parse_record(values, "m, line 1")


def test_parts_of_one_file_and_files_of_one_name_have_names_of_their_own():
    records = [parse_record({**GOOD, **changes}, "") for changes in (
        {}, {"span": [0, 1]}, {"span": [1, 2]}, {"path": "b/a.mp4"}, {"path": "ä.mp4"},
    )]  # fmt: skip
    assert len({record.name for record in records}) == 5
    assert all(record.name.isascii() for record in records)
    assert parse_record({**GOOD, "caption": "Another."}, "").name == records[0].name


def test_bad_lines_of_a_manifest_are_left_out_and_told(tmp_path):
    lines = [json.dumps(GOOD), "", "{not json", json.dumps([1]), json.dumps(GOOD), json.dumps({**GOOD, "path": "b"})]
    (tmp_path / "manifest.jsonl").write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    source = open_source(str(tmp_path))
    assert [job.record.path for job in source.jobs] == ["a.mp4", "b"]
    told = [(entry.where.split(", ")[1], entry.reason) for entry in source.skipped]
    assert told == [("line 3", "bad line"), ("line 4", "bad line"), ("line 5", "repeated line")]
    assert "manifest.jsonl, line 1" in source.skipped[-1].message
    assert [part.count for part in (source.part(0, 2), source.part(1, 2))] == [1, 1]
    assert not source.part(1, 2).skipped


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nowhere", "nowhere is not there"),
        ("toon:", "toon:COUNT"),
        ("toon:0", "no toon at all"),
        ("toon:3:x", "toon:COUNT"),
        ("http://host/a.tar", "disk only"),
        ("pipe:cat a.tar", "disk only"),
        ("gone-{0..1}.tar", "gone-0.tar and 1 more"),
    ],
)
def test_a_source_that_cannot_be_read_is_refused_with_what_to_write(text, words):
    with pytest.raises(ValueError, match=words):
        open_source(text)


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no manifest\.jsonl"):
        open_source(str(tmp_path))


def test_samples_of_a_shard_without_video_or_fields_are_left_out(tmp_path):
    record = parse_record(GOOD, "")
    for name in "abc":
        (tmp_path / f"{name}.mp4").write_bytes(b"video")
    lines = [
        line_of(record, path=f"{name}.mp4", speaker=speaker)
        for name, speaker in zip("abc", ("x", "", "y"), strict=True)
    ]
    write_shard(tmp_path / "s.tar", tmp_path, lines, without=("a.json", "c.mp4"))
    clips = list(open_source(str(tmp_path / "s.tar")).jobs[0].clips())
    assert [(clip.where[-1], clip.reason) for clip in clips] == [
        ("a", "bad line"), ("b", "bad line"), ("c", "missing file"),
    ]  # fmt: skip
    assert "sample b: speaker is empty" in clips[1].message


def test_a_shard_cut_short_gives_the_clips_before_the_cut(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.mp4").write_bytes(bytes(3000))
    lines = [line_of(parse_record(GOOD, ""), path=f"{name}.mp4") for name in "ab"]
    write_shard(tmp_path / "s.tar", tmp_path, lines)
    (tmp_path / "cut.tar").write_bytes((tmp_path / "s.tar").read_bytes()[:8800])
    first, *_, last = open_source(str(tmp_path / "cut.tar")).jobs[0].clips()
    assert first.record.path == "cut.tar/a.mp4"
    assert last.reason == "damaged shard"
    assert "cut.tar is damaged" in last.message


@pytest.mark.parametrize("rate", [16, 30])
def test_frames_and_sound_of_a_span_are_those_of_that_time(tmp_path, rate):
    frames = counting_frames(4 * rate)
    write_video(str(tmp_path / "a.mp4"), frames, clicks(4), rate)
    clip = decode_clip(tmp_path / "a.mp4", (1.5, 3.2), SMALL)
    assert len(clip.frames) == 25
    times = 1.5 + np.arange(25) / 16
    expected = 2 * np.floor(times * rate + 0.5)
    assert np.abs(clip.frames.mean((1, 2, 3)) - expected).max() <= 1.5  # The next frame is two levels away.
    assert len(clip.waveform) == 25 * 1500
    spectrum = np.abs(np.fft.rfft(clip.waveform[:1200].numpy()))
    assert abs(spectrum.argmax() * 20 - 800) <= 20  # The fourth tone, 0.05 s at 20 Hz a bin.
    assert clip.waveform.abs().max() == pytest.approx(PEAK)
    assert not clip.cut


def test_a_long_clip_is_cut_and_says_so_or_left_out(tmp_path):
    write_video(str(tmp_path / "a.mp4"), counting_frames(40), clicks(2.5))
    form = ClipForm((32, 32), most_frames=21)
    clip = decode_clip(tmp_path / "a.mp4", None, form)
    assert len(clip.frames) == 21
    assert clip.cut
    with pytest.raises(BadClipError) as caught:
        decode_clip(tmp_path / "a.mp4", None, ClipForm((32, 32), most_frames=21, skip_long=True))
    assert caught.value.reason == "too long"
    assert not decode_clip(tmp_path / "a.mp4", (0, 1.4), form).cut


def test_a_variable_frame_rate_is_read_by_the_frames_own_times(tmp_path):
    import av

    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        video = container.add_stream("libx264", rate=100, options={"crf": "4"})
        video.width = video.height = 32
        audio = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        for number, hundredths in enumerate((0, 10, 100, 110)):
            picture = av.VideoFrame.from_ndarray(counting_frames(1)[0] + 50 * number, format="rgb24")
            picture.pts = hundredths
            container.mux(video.encode(picture))
        container.mux(video.encode())
        sound = av.AudioFrame.from_ndarray((clicks(2)[None] * 32767).astype(np.int16), format="s16", layout="mono")
        sound.sample_rate, sound.pts = SAMPLE_RATE, 0
        container.mux(audio.encode(sound))
        container.mux(audio.encode())
    clip = decode_clip(tmp_path / "a.mkv", (0, 1.2), SMALL)
    shown = (clip.frames.mean((1, 2, 3)) / 50).round()
    assert shown.tolist() == [0, 0, *[1] * 14, 2]


def test_unusable_files_are_told_apart(tmp_path):
    frames, reasons = counting_frames(24), {}
    write_video(str(tmp_path / "mute.mp4"), frames, None)
    write_video(str(tmp_path / "silent.mp4"), frames, np.zeros(36_000, np.float32))
    write_video(str(tmp_path / "short.mp4"), frames[:8], clicks(0.5))
    write_video(str(tmp_path / "quick.mp4"), frames, clicks(0.4))
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    for name in ("mute", "silent", "short", "quick", "broken", "gone"):
        with pytest.raises(BadClipError) as caught:
            decode_clip(tmp_path / f"{name}.mp4", None, ClipForm((32, 32)))
        reasons[name] = caught.value.reason
    assert reasons == {
        "mute": "no audio", "silent": "silent", "short": "too short", "quick": "too short", "broken": "unreadable",
        "gone": "missing file",
    }  # fmt: skip
    with pytest.raises(BadClipError, match="Check the span"):
        decode_clip(tmp_path / "silent.mp4", (60, 62), ClipForm((32, 32)))


def test_pictures_are_cropped_to_a_size_and_stretched_to_a_short_side():
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, :50] = 255
    assert ClipForm((64, 64)).resized(picture).max() == 0
    beside = ClipForm(64).resized(picture)
    assert beside.shape == (64, 128, 3)
    assert beside[:, :30].min() == 255
    assert parse_size("1280x736") == (1280, 736)
    assert parse_size("736") == 736
    with pytest.raises(ValueError, match="1280x736"):
        parse_size("large")
    with pytest.raises(ValueError, match="multiple of 32"):
        ClipForm((100, 64))


def test_lengths_are_the_most_that_latents_hold():
    form = ClipForm((32, 32), most_frames=33, fewest_frames=17)
    assert [form.frames_of(count) for count in (16, 17, 20, 21, 33, 34, 500)] == [0, 17, 17, 21, 33, 33, 33]


def test_sound_alone_is_read_from_files_with_and_without_a_picture(tmp_path):
    write_video(str(tmp_path / "a.mp4"), counting_frames(32), clicks(2))
    seen = decode_clip(tmp_path / "a.mp4", (0.5, 1.8), ClipForm((32, 32)))
    heard = decode_clip(tmp_path / "a.mp4", (0.5, 1.8), ClipForm(sound_only=True))
    assert heard.frames is None
    np.testing.assert_array_equal(heard.waveform, seen.waveform)
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((2, 2, 16_000, 0, "NONE", ""))
        file.writeframes((clicks(2, rate=16_000)[:, None].repeat(2, 1) * 32767).astype("<i2").tobytes())
    clip = decode_clip(tmp_path / "a.wav", None, ClipForm(sound_only=True))
    assert len(clip.waveform) == 29 * 1500
    spectrum = np.abs(np.fft.rfft(clip.waveform[36_000:37_200].numpy()))
    assert abs(spectrum.argmax() * 20 - 800) <= 20
    with pytest.raises(BadClipError, match="no video"):
        decode_clip(tmp_path / "a.wav", None, ClipForm((32, 32)))


def test_a_video_that_lies_on_its_side_is_turned_upright(tmp_path):
    frames = counting_frames(24, (64, 32))
    frames[:, 32:] = 255
    write_video(str(tmp_path / "a.mp4"), frames, clicks(1.5))
    upright = decode_clip(tmp_path / "a.mp4", None, ClipForm(32)).frames
    content = (tmp_path / "a.mp4").read_bytes()
    one, zero, minus = (value.to_bytes(4, "big", signed=True) for value in (1 << 16, 0, -(1 << 16)))
    straight = one + zero * 3 + one
    turned = zero + one + zero + minus + zero  # A quarter turn clockwise.
    place = content.rindex(b"tkhd", 0, content.index(b"mdhd", content.index(b"moov")))
    matrix = content.index(straight, place)
    (tmp_path / "b.mp4").write_bytes(content[:matrix] + turned + content[matrix + len(turned) :])
    on_its_side = decode_clip(tmp_path / "b.mp4", None, ClipForm(32)).frames
    assert upright.shape[1:3] == (64, 32)
    np.testing.assert_allclose(on_its_side, np.rot90(upright, -1, (1, 2)), atol=3)
