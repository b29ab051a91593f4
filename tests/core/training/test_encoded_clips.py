"""Examples drawn from encoded clips: what is kept, told and referenced, and that parts of a batch make the batch."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.core.training.encoded_folders import NULL, encode
from toon.clips.clip import make_clip
from toon.training.clip_shards import mel_of
from uniavgen_core.config import TOON, Interaction
from uniavgen_core.media.audio.mel import log_mel, normalize_mel
from uniavgen_core.shapes import mel_frames_of, video_frames_of
from uniavgen_core.tasks import AUDIO_DRIVEN, CONTINUATION, DUBBING, JOINT, REFERENCE_VOICE
from uniavgen_core.text.tokenize import NULL_SPEECH, speech_ids
from uniavgen_core.training.batch_part import Part
from uniavgen_core.training.data.clip_form import ClipForm
from uniavgen_core.training.data.clip_sources import open_source
from uniavgen_core.training.data.encode_clips import EncodeConfig, encode_source
from uniavgen_core.training.data.encoded_clips import SourceConfig, load_source
from uniavgen_core.training.data.speaker_voices import cut_voice, words_until
from uniavgen_core.training.task_sampling import TaskSample

BOTH, A2V, V2A = Interaction.BOTH, Interaction.AUDIO_TO_VIDEO, Interaction.VIDEO_TO_AUDIO
GENERATE = TaskSample(JOINT, BOTH)
VOICE = TaskSample(REFERENCE_VOICE, A2V, has_voice=True, voice_length=1)
CONTINUE = TaskSample(CONTINUATION, BOTH)
DUB = TaskSample(DUBBING, V2A)
DRIVEN = TaskSample(AUDIO_DRIVEN, A2V)
TOLD = SourceConfig(speech_dropout=0.0, caption_dropout=0.0)


@pytest.fixture
def folder(tmp_path):
    """Twelve clips of two sizes and two lengths; speakers a, b and c have four each, every size among them."""
    shapes = [(9, 2), (9, 4), (5, 2), (9, 2)]
    return encode(tmp_path / "clips", [("abc"[i % 3], *shapes[i // 3]) for i in range(12)])


def draw(source, sample, count=64, step=0):
    part = Part(step, 0, count)
    return source.draw_clips(sample, part.shared(3), part.own(3))


def clips_of(example):
    return example.video[:, 0, 1, 0, 0].long().tolist()


def test_joint_generation_keeps_the_first_latent_and_references_it(folder):
    example = draw(load_source(folder, TOON.text, TOLD), GENERATE)
    assert example.video_keep_mask[:, 0].all()
    assert not example.video_keep_mask[:, 1:].any()
    assert not example.audio_keep_mask.any()
    assert torch.equal(example.conditions.reference_image, example.video[:, :, :1])
    assert example.conditions.reference_audio is None
    assert (example.face == 0.25).all()
    assert (example.mouth == 0).all()
    for clip, ids, length in zip(
        clips_of(example), example.conditions.speech_ids, example.conditions.speech_lengths, strict=True
    ):
        assert tuple(ids[:length].tolist()) == speech_ids(f"{clip} is said here")


def test_dubbing_keeps_all_video_and_audio_driven_all_sound(folder):
    source = load_source(folder, TOON.text)
    dubbing, driven = draw(source, DUB), draw(source, DRIVEN)
    assert dubbing.video_keep_mask.all()
    assert not dubbing.audio_keep_mask.any()
    assert driven.audio_keep_mask.all()
    assert driven.video_keep_mask.sum(1).eq(1).all()
    assert dubbing.conditions.interaction is V2A


def test_a_continuation_keeps_prefixes_that_sound_as_long_as_they_last(folder):
    config = SourceConfig(kept_latents=(2, 16), kept_jitter=7)
    source = load_source(folder, TOON.text, config)
    examples = [draw(source, CONTINUE, step=step) for step in range(8)]
    offsets, prefixes = set(), set()
    for example in examples:
        latents, mel = example.video_keep_mask.sum(1), example.audio_keep_mask.sum(1)
        for kept in (example.video_keep_mask, example.audio_keep_mask):
            assert not (kept[:, 1:] & ~kept[:, :-1]).any()
        assert (latents < example.video.shape[2]).all()
        assert (mel < example.audio.shape[1]).all()
        prefixes |= set(latents.tolist())
        offsets |= {int(m) - mel_frames_of(video_frames_of(int(n))) for n, m in zip(latents, mel, strict=True)}
    assert prefixes == set(range(2, 9))
    assert offsets == set(range(-7, 8))


def test_a_reference_voice_is_of_the_same_speaker_and_never_of_the_clip_itself(folder):
    source = load_source(folder, TOON.text, TOLD)
    silence = normalize_mel(log_mel(torch.zeros(24_000)))[:, 0]
    for step in range(6):
        example = draw(source, VOICE, step=step)
        reference = example.conditions.reference_audio
        assert reference.shape[1:] == (206 + 30, 80)
        assert torch.equal(reference[:, 206:], silence.expand(len(reference), 30, 80))
        others = reference[:, 0, 0].long().tolist()
        for clip, other in zip(clips_of(example), others, strict=True):
            assert clip % 3 == other % 3
            assert clip != other
        for clip, other, ids, length in zip(
            clips_of(example), others, example.conditions.speech_ids, example.conditions.speech_lengths, strict=True
        ):
            text = f"{other} is said here {clip} is said here"
            assert tuple(ids[:length].tolist()) == speech_ids(text)


def test_a_dropped_text_leaves_the_reference_voices_words(folder):
    source = load_source(folder, TOON.text, SourceConfig(speech_dropout=1.0, caption_dropout=0.0))
    example = draw(source, VOICE, 8)
    others = example.conditions.reference_audio[:, 0, 0].long().tolist()
    for other, ids, length in zip(
        others, example.conditions.speech_ids, example.conditions.speech_lengths, strict=True
    ):
        assert tuple(ids[:length].tolist()) == speech_ids(f"{other} is said here ")
    without = draw(source, GENERATE, 8).conditions
    assert without.speech_lengths.eq(10).all()
    assert without.speech_ids[:, :10].tolist() == [list(NULL_SPEECH)] * 8
    assert (without.speech_ids[:, 10:] == -1).all()


def test_speech_and_caption_are_dropped_apart_at_their_own_shares(folder):
    source = load_source(folder, TOON.text)
    examples = [draw(source, GENERATE, 256, step) for step in range(8)]
    textless = torch.cat([e.conditions.speech_ids[:, 1] == -1 for e in examples])
    captionless = torch.cat([e.conditions.caption[:, 0, 0] == NULL for e in examples])
    assert textless.float().mean() == pytest.approx(0.2, abs=0.03)
    assert captionless.float().mean() == pytest.approx(0.1, abs=0.03)
    assert (textless & captionless).float().mean() == pytest.approx(0.02, abs=0.012)


def test_without_interactions_both_texts_are_dropped_together_at_the_tasks_share(folder):
    sample = replace(GENERATE, interaction=Interaction.OFF, text_dropout=0.5)
    example = draw(load_source(folder, TOON.text), sample, 512)
    textless = example.conditions.speech_ids[:, 1] == -1
    assert torch.equal(textless, example.conditions.caption[:, 0, 0] == NULL)
    assert textless.float().mean() == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("sample", [GENERATE, VOICE, CONTINUE, DUB, DRIVEN, replace(GENERATE, audio_alone=True)])
def test_a_batch_in_two_parts_is_the_batch_at_once(folder, sample):
    source = load_source(folder, TOON.text)
    for step in range(4):
        whole = draw(source, sample, 6, step)
        parts = [
            source.draw_clips(sample, part.shared(3), part.own(3)) for part in (Part(step, 0, 2), Part(step, 2, 4))
        ]
        for name in ("video", "audio", "video_keep_mask", "audio_keep_mask", "face", "mouth"):
            assert torch.equal(getattr(whole, name), torch.cat([getattr(part, name) for part in parts])), name
        for name, value in vars(whole.conditions).items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, torch.cat([getattr(part.conditions, name) for part in parts])), name


def test_a_batch_is_of_one_size_and_length_drawn_by_its_number_of_clips(folder):
    source = load_source(folder, TOON.text)
    drawn = [clips_of(draw(source, GENERATE, 4, step)) for step in range(300)]
    buckets = [{0, 1, 2, 9, 10, 11}, {3, 4, 5}, {6, 7, 8}]
    shares = [np.mean([set(clips) <= bucket for clips in drawn]) for bucket in buckets]
    assert sum(shares) == pytest.approx(1)
    assert shares[0] == pytest.approx(0.5, abs=0.09)
    assert {clip for clips in drawn for clip in clips} == set(range(12))


def test_texts_have_one_length_whoever_is_drawn(folder):
    source = load_source(folder, TOON.text)
    lengths = {draw(source, sample, 1, step).conditions.speech_ids.shape for sample in (GENERATE,) for step in range(9)}
    voiced = {draw(source, VOICE, 1, step).conditions.speech_ids.shape for step in range(9)}
    assert len(lengths) == 1
    assert len(voiced) == 1
    captions = {draw(source, GENERATE, 1, step).conditions.caption.shape for step in range(9)}
    assert captions == {(1, 3, 64)}


def test_clips_whose_speaker_has_no_other_get_no_reference_voice_and_are_counted(tmp_path):
    lone = load_source(encode(tmp_path / "a", [("a", 5, 2), ("b", 5, 2), ("b", 5, 2)]), TOON.text, TOLD)
    assert "1 of 3 clips are their speaker's only one" in lone.notices[0]
    assert set(clips_of(draw(lone, VOICE))) == {1, 2}
    assert set(clips_of(draw(lone, GENERATE))) == {0, 1, 2}
    nobody = load_source(encode(tmp_path / "b", [("a", 5, 2), ("b", 5, 2)]), TOON.text, TOLD)
    assert "No speaker has two clips" in nobody.notices[0]
    example = draw(nobody, VOICE)
    assert example.conditions.reference_audio is None
    assert example.conditions.interaction is BOTH
    assert "1 of 2 clips were cut" in nobody.notices[1]


def test_several_folders_are_one_source_unless_their_latents_differ(tmp_path):
    first = encode(tmp_path / "a", [("a", 5, 2)])
    second = encode(tmp_path / "b", [("x", 5, 2), ("a", 5, 2)])
    source = load_source([first, second], TOON.text)
    assert len(source) == 3
    assert len(source.buckets) == 1
    assert source.speakers.clips_of["a"].tolist() == [0, 2]
    third = encode(tmp_path / "c", [("a", 5, 2)], encoders="wan-1")
    with pytest.raises(ValueError, match="bundled and wan-1"):
        load_source([first, third], TOON.text)


def test_what_does_not_belong_to_the_model_or_is_no_source_is_refused(tmp_path):
    with pytest.raises(ValueError, match="64 numbers wide and the model's 4096"):
        load_source(encode(tmp_path / "a", [("a", 5, 2)]), replace(TOON.text, caption_dim=4096))
    with pytest.raises(ValueError, match="holds no encoded clips"):
        load_source(tmp_path, TOON.text)
    with pytest.raises(ValueError, match=r"skipped\.jsonl"):
        load_source(encode(tmp_path / "b", []), TOON.text)
    (tmp_path / "a" / "index.jsonl").write_text('{"name": 1}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="line 1 is damaged"):
        load_source(tmp_path / "a", TOON.text)


def test_missing_face_masks_are_told(tmp_path):
    source = load_source([encode(tmp_path / "a", [("a", 5, 2)]), encode(tmp_path / "b", [("a", 5, 2)])], TOON.text)
    assert not any("masks" in notice for notice in source.notices)
    source = load_source(encode(tmp_path / "c", [("a", 5, 2)], faces="none"), TOON.text)
    assert "no face masks in" in source.notices[-1]


def test_clips_of_sound_alone_are_drawn_for_the_audio_branch_alone(tmp_path):
    heard = tmp_path / "heard"
    config = EncodeConfig(heard, ClipForm(sound_only=True))
    encode_source(open_source("toon:3"), config)
    source = load_source(heard, replace(TOON.text, caption_dim=4096))
    alone = replace(GENERATE, audio_alone=True, interaction=Interaction.OFF)
    example = draw(source, alone)
    assert example.audio.shape == (64, 206, 80)
    assert {mel_of(make_clip(seed).waveform).tobytes() for seed in range(3)} == {
        mel.numpy().astype(np.float16).tobytes() for mel in example.audio
    }
    with pytest.raises(ValueError, match="No clip fits joint"):
        draw(source, GENERATE)
    both = load_source([heard, encode(tmp_path / "seen", [("a", 9, 2), ("a", 9, 2)])], TOON.text, TOLD)
    assert draw(both, GENERATE).video.shape[-1] == 2
    assert {draw(both, alone, 1, step).conditions.caption.shape for step in range(9)} == {(1, 1, 64)}


def test_a_source_that_worker_processes_are_given_draws_the_same_clips(folder):
    source = load_source(folder, TOON.text)
    sent = pickle.loads(pickle.dumps(source))
    assert torch.equal(draw(sent, VOICE).audio, draw(source, VOICE).audio)


def test_a_long_clips_voice_ends_in_a_pause_with_the_words_said_until_then():
    mel = np.full((500, 80), -1.0, np.float32)
    mel[20:140] = 1.0
    mel[148:420] = 1.0
    silence = np.full(80, -2.0, np.float32)
    voice = cut_voice(mel, "one two three four five six seven eight", 150, silence)
    assert voice.mel.shape == (150, 80)
    np.testing.assert_array_equal(voice.mel[:125], mel[15:140])
    assert (voice.mel[125:] == -2).all()
    assert voice.transcript == "one two three"
    whole = cut_voice(mel[:140], "one two", 150, silence)
    np.testing.assert_array_equal(whole.mel[:140], mel[:140])
    assert whole.transcript == "one two"


def test_words_are_counted_by_their_characters_and_chinese_by_each():
    assert words_until("a bb ccccccccc", 0.5) == "a bb"
    assert words_until("a bb ccccccccc", 1.0) == "a bb ccccccccc"
    assert words_until("你好世界", 0.5) == "你好"
    assert words_until("hello", 0.0) == ""
