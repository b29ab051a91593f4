"""The saved file keeps what was given: packets of a dubbed video, samples of a given sound, rates, the workflow."""

import json
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import pytest
import torch
from PIL import Image

from tests.nodes.studio import moving_frames, notices_of, speech_at, video_of
from tests.nodes.video_files import NTSC, packets_of, pictures_of, psnr, sound_of, tags_of, write_file

SOUND = "match_audio"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


@pytest.fixture
def save(studio):
    """Run the node; gives the path of the file and what the node told."""

    def run(images, audio=None, **inputs):
        output = studio.nodes.save_video.SaveVideo.execute(images, "test/clip", audio, **inputs)
        (shown,) = output.ui["images"]
        path = Path(output.args[0].get_stream_source())
        assert path.name == shown["filename"]
        assert [file.name for file in path.parent.iterdir() if file.name.startswith(".")] == []
        return path, notices_of(output)

    return run


@pytest.fixture(scope="module")
def speech(studio):
    """A second of the bundled speech in stereo, with samples of 16 bits."""
    audio = speech_at(studio.example()[1], 44_100)
    waveform = (audio["waveform"][..., :44_100] * 2**15).round() / 2**15
    return {**audio, "waveform": waveform}


def loaded(path):
    from comfy_api.latest import InputImpl

    return InputImpl.VideoFromFile(str(path))


def dubbed(studio, video):
    """Images, AUDIO, rate and what was given, of a dubbed VIDEO; the sound is that of an empty latent."""
    latent, given = studio.task("dubbing", video=video).args[2:]
    return (*studio.decode(latent, given), given)


@pytest.fixture(scope="module")
def ntsc(tmp_path_factory):
    """A turned video of 30000/1001 frames a second with B-frames, a keyframe every 8 frames, and sound."""
    path = tmp_path_factory.mktemp("given") / "phone.mp4"
    tone = {"waveform": 0.1 * torch.sin(torch.arange(24_000) / 9.0)[None, None], "sample_rate": 24_000}
    return write_file(path, moving_frames(24), sound=tone, rotate=True, g=8, bf=2, sc_threshold=0)


@pytest.fixture(scope="module")
def dub_of_ntsc(studio, ntsc):
    return dubbed(studio, loaded(ntsc))


def test_a_dubbed_video_is_copied_packet_by_packet_with_its_rate_and_rotation(save, ntsc, dub_of_ntsc):
    images, audio, fps, given = dub_of_ntsc
    path, told = save(images, audio, fps=fps, source_media=given)
    assert told == ""
    assert path.suffix == ".mp4"
    assert packets_of(path) == packets_of(ntsc)
    rate, pictures = pictures_of(path)
    assert rate == NTSC
    assert torch.equal(pictures, images)
    with av.open(str(path)) as file:
        assert next(file.decode(video=0)).rotation == -90
    codec, sample_rate, sound = sound_of(path)
    assert (codec, sample_rate) == ("aac", 24_000)
    own = audio["waveform"][0].double()
    assert torch.corrcoef(torch.cat([sound[:, : own.shape[1]], own]))[0, 1] > 0.99


def test_a_dubbed_video_that_was_changed_is_encoded_at_its_exact_rate(save, dub_of_ntsc):
    images, audio, fps, given = dub_of_ntsc
    changed = images.flip(2)
    path, _ = save(changed, audio, fps=fps, source_media=given)
    rate, pictures = pictures_of(path)
    assert rate == NTSC
    assert psnr(pictures, changed) > 38


@pytest.mark.parametrize(("start", "copied"), [(8, True), (5, False)])
def test_a_trimmed_video_is_copied_from_a_keyframe_and_else_encoded_with_a_notice(save, studio, ntsc, start, copied):
    video = loaded(ntsc).as_trimmed(float((start - 0.5) / NTSC), 0, strict_duration=False)
    images, audio, fps, given = dubbed(studio, video)
    assert len(images) == 24 - start
    path, told = save(images, audio, fps=fps, source_media=given)
    assert ("keyframes" in told) is not copied
    rate, pictures = pictures_of(path)
    assert rate == NTSC
    assert torch.equal(pictures, images) is copied
    assert psnr(pictures, images) > 38
    if copied:
        assert [packet[0] for packet in packets_of(path)] == [packet[0] for packet in packets_of(ntsc)[8:]]


def test_a_video_of_changing_pace_keeps_the_time_of_every_picture(save, studio, tmp_path):
    given_file = tmp_path / "pace.mkv"
    with av.open(str(given_file), "w") as file:
        stream = file.add_stream("libx264", rate=30, options={"bf": "0"})
        stream.height, stream.width, stream.pix_fmt = 48, 80, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for time, picture in zip((0, 40, 100, 400, 410, 700, 720, 1000), moving_frames(8), strict=True):
            frame = av.VideoFrame.from_ndarray((picture * 255).byte().numpy(), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    images, audio, fps, given = dubbed(studio, loaded(given_file))
    path, _ = save(images, audio, fps=fps, source_media=given)
    assert path.suffix == ".mp4"
    assert [packet[:2] for packet in packets_of(path)] == [packet[:2] for packet in packets_of(given_file)]


def test_a_codec_that_mp4_does_not_hold_is_copied_to_mkv_with_a_notice(save, studio, tmp_path):
    given_file = write_file(tmp_path / "edit.mov", moving_frames(8), codec="prores_ks")
    images, audio, fps, given = dubbed(studio, loaded(given_file))
    path, told = save(images, audio, fps=fps, source_media=given)
    assert path.suffix == ".mkv"
    assert "mkv" in told
    assert [packet[0] for packet in packets_of(path)] == [packet[0] for packet in packets_of(given_file)]
    assert SOURCE_TYPE + "compositeWithTrainedAlgorithmicMedia" in tags_of(path).values()


def test_a_gif_is_encoded_with_a_notice_and_loses_its_odd_last_row_and_column(save, studio, tmp_path):
    frames = moving_frames(8, 49, 81)
    pictures = [Image.fromarray((frame * 255).byte().numpy()) for frame in frames]
    pictures[0].save(tmp_path / "moving.gif", save_all=True, append_images=pictures[1:], duration=100)
    images, audio, fps, given = dubbed(studio, loaded(tmp_path / "moving.gif"))
    path, told = save(images, audio, fps=fps, source_media=given)
    assert "gif" in told
    assert "81x49" in told
    rate, saved = pictures_of(path)
    assert (rate, saved.shape) == (10, (8, 48, 80, 3))
    assert psnr(saved, images[:, :48, :80]) > 30


def scaled(audio, bits):
    """An AUDIO with samples of a number of bits."""
    return {**audio, "waveform": (audio["waveform"].double() * 2 ** (bits - 1)).round().float() / 2 ** (bits - 1)}


@pytest.mark.parametrize("bits", [16, 24])
def test_a_given_sound_is_in_the_file_sample_for_sample(save, studio, speech, bits):
    audio = scaled({**speech, "waveform": speech["waveform"] * 0.7}, bits)
    latent, given = studio.task("audio_driven", audio=audio, length=SOUND, seconds=1.0).args[2:]
    images, made, fps = studio.decode(latent, given)
    path, told = save(images, made, fps=fps, source_media=given)
    codec, rate, sound = sound_of(path)
    assert (codec, rate, told) == ("flac", 44_100, "")
    assert torch.equal(sound, audio["waveform"][0].double())


def test_a_sound_that_24_bits_do_not_hold_is_rounded_to_them(save):
    waveform = 0.5 * torch.sin(torch.arange(12_000) / 7.0)[None, None]
    path, _ = save(moving_frames(8), {"waveform": waveform, "sample_rate": 24_000}, audio_format="flac")
    _, _, sound = sound_of(path)
    assert 0 < (sound - waveform[0]).abs().max() <= 2**-24


def test_with_aac_a_given_sound_is_beside_the_video_without_loss(save, studio, speech):
    given = studio.task("audio_driven", audio=speech, length=SOUND, seconds=1.0).args[3]
    path, told = save(moving_frames(16), speech, source_media=given, audio_format="aac")
    codec, rate, heard = sound_of(path)
    assert (codec, rate) == ("aac", 44_100)
    own = speech["waveform"][0].double()
    error = heard[:, : own.shape[1]] - own
    assert 10 * (own.square().mean() / error.square().mean()).log10() > 30
    beside = path.with_suffix(".flac")
    assert beside.name in told
    assert torch.equal(sound_of(beside)[2], own)


def test_generated_sound_alone_is_aac_and_has_no_file_beside_it(save, speech):
    path, _ = save(moving_frames(16), speech)
    assert sound_of(path)[0] == "aac"
    assert not path.with_suffix(".flac").exists()


def test_a_sample_rate_that_aac_lacks_is_stored_as_flac_with_a_notice(save, speech):
    path, told = save(moving_frames(16), {**speech, "sample_rate": 23_456}, audio_format="aac")
    assert sound_of(path)[:2] == ("flac", 23_456)
    assert "23456 Hz" in told


def test_encoded_pictures_are_near_what_they_were_and_say_how_their_colours_are_meant(save):
    frames = moving_frames(16, 64, 96)
    path, _ = save(frames, fps=16.0)
    assert psnr(pictures_of(path)[1], frames) > 43
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc, context.colorspace, context.color_range) == (1, 1, 1, 1)


def test_the_same_pictures_make_the_same_packets_whatever_was_encoded_before(save):
    frames = moving_frames(33, 96, 96, seed=3)
    made = set()
    for seed in range(6):
        save(torch.rand(12, 96, 96, 3, generator=torch.Generator().manual_seed(seed)), fps=16.0)
        path, _ = save(frames, fps=16.0)
        made.add(tuple(packet for packet, *_ in packets_of(path)))
    assert len(made) == 1


def test_lossless_pictures_are_exact_in_8_bits_whatever_their_size(save):
    frames = moving_frames(6, 49, 81)
    path, told = save(frames, fps=16.0, video_format="lossless")
    with av.open(str(path)) as file:
        decoded = [torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]
    assert torch.equal(torch.stack(decoded), (frames * 255).round().byte())
    assert told == ""


@pytest.mark.parametrize(
    ("fps", "exact"), [(0.0, Fraction(16)), (29.97002997, NTSC), (23.976023976, Fraction(24_000, 1001)), (12.5, 12.5)]
)
def test_a_rate_is_the_fraction_that_its_float_stands_for(save, fps, exact):
    path, _ = save(moving_frames(4), fps=fps)
    assert pictures_of(path)[0] == exact


def boxes_of(path):
    """Name and content of every box at the top of an mp4 file."""
    data, place = path.read_bytes(), 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        yield data[place + 4 : place + 8], data[place + 8 : place + size]
        place += size
    assert place == len(data)


def source_type_in(path):
    (content,) = [content for name, content in boxes_of(path) if name == b"uuid" and content[:16] == XMP]
    xmp = content[16:].decode()
    return xmp.split("<Iptc4xmpExt:DigitalSourceType>")[1].split("<")[0]


def test_a_file_says_that_it_was_generated_or_partly(save, studio, speech):
    generated, _ = save(moving_frames(4), speech)
    given = studio.task("audio_driven", audio=speech, length=SOUND, seconds=1.0).args[3]
    partly, _ = save(moving_frames(4), speech, source_media=given)
    assert source_type_in(generated) == SOURCE_TYPE + "trainedAlgorithmicMedia"
    assert source_type_in(partly) == SOURCE_TYPE + "compositeWithTrainedAlgorithmicMedia"
    assert tags_of(partly)["digital_source_type"] == source_type_in(partly)
    assert "AI" in tags_of(generated)["comment"]


@pytest.fixture
def hidden(studio, monkeypatch):
    values = SimpleNamespace(prompt={"1": {"class_type": "X"}}, extra_pnginfo={"workflow": {"nodes": []}})
    monkeypatch.setattr(studio.nodes.save_video.SaveVideo, "hidden", values)


@pytest.mark.usefixtures("hidden")
def test_a_file_carries_the_workflow_unless_comfyui_was_told_not_to(save, studio, monkeypatch):
    tags = tags_of(save(moving_frames(4))[0])
    assert json.loads(tags["prompt"]) == {"1": {"class_type": "X"}}
    assert json.loads(tags["workflow"]) == {"nodes": []}
    monkeypatch.setattr(studio.nodes.host.media.saved_names.args, "disable_metadata", True)
    path, _ = save(moving_frames(4))
    assert not {"prompt", "workflow"} & set(tags_of(path))
    assert source_type_in(path)


def test_a_cancelled_run_leaves_no_file(save):
    import comfy.model_management

    path, _ = save(moving_frames(4))
    before = sorted(path.parent.iterdir())
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        save(moving_frames(40))
    assert sorted(path.parent.iterdir()) == before


def test_several_sounds_are_refused_in_words(save, speech):
    two = {**speech, "waveform": speech["waveform"].repeat(2, 1, 1)}
    with pytest.raises(ValueError, match="one clip needs"):
        save(moving_frames(4), two)


def test_a_video_made_in_the_graph_is_encoded_with_a_notice(save, studio):
    frames = moving_frames(16)
    images, audio, fps, given = dubbed(studio, video_of(frames, NTSC))
    path, told = save(images, audio, fps=fps, source_media=given)
    assert "made in the graph" in told
    rate, pictures = pictures_of(path)
    assert rate == NTSC
    assert psnr(pictures, frames) > 40


@pytest.mark.parametrize(("codec", "kind"), [("libx264", "mkv"), ("libvpx-vp9", "webm"), ("libsvtav1", "mkv")])
def test_streams_of_other_files_are_copied_into_mp4(save, studio, tmp_path, codec, kind):
    frames = moving_frames(8, 64, 64)
    given_file = write_file(tmp_path / f"clip.{kind}", frames, codec=codec)
    images, audio, fps, given = dubbed(studio, loaded(given_file))
    path, told = save(images, audio, fps=fps, source_media=given)
    assert (path.suffix, told) == (".mp4", "")
    assert [packet[:2] for packet in packets_of(path)] == [packet[:2] for packet in packets_of(given_file)]
    assert torch.equal(pictures_of(path)[1], images)
