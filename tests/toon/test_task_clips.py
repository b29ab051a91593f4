"""What the five tasks and two faces are trained on: who is drawn, what is kept, what the network is told."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from toon.model_config import MODEL
from toon.training.clip_shards import ShardPlan, save_arrays
from toon.training.scene_shards import SILENCE_FRAMES, VOICE_FRAMES
from toon.training.task_clips import Material
from uniavgen_core.config import TOON, BranchConfig, Interaction
from uniavgen_core.media.audio.mel import silent_mel
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import Conditions, JointModel, JointOutput
from uniavgen_core.text.speech_tensors import SpokenText, speech_tensors
from uniavgen_core.training.batch_part import Part
from uniavgen_core.training.step import Example, LossWeights, example_losses
from uniavgen_core.training.task_sampling import Ask, TaskConfig, TaskKind, draw_ask
from uniavgen_core.training.task_step import TaskStep

TEXT = MODEL.text
TINY = replace(TOON, video=BranchConfig(16, 32, 2), audio=BranchConfig(16, 32, 2), num_layers=2, num_interactions=1)
CERTAIN = TaskConfig(
    silence_before=1.0, silence_after=1.0, digital_silence=1.0, lead=0.0, voice_without_text=0.0, still_mask=0.0,
    half_mask=0.0, one_sided_caption=0.0, text_dropout=0.0,
)  # fmt: skip
STARTS = (0.0, 50.0, 56.25, 31.25)
SENTENCES = ("red moon", "blue sky", "one two", "bye fish")
COUNT = 24


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Shards of noise: scene i has mel values of about i, so that a batch tells whom it holds."""
    folder = tmp_path_factory.mktemp("material")
    random = np.random.default_rng(0)
    rows = np.arange(COUNT)
    voice = rows % 24
    scenes = {
        "video": random.normal(size=(COUNT, 48, 9, 2, 2)),
        "reference": random.normal(size=(COUNT, 48, 1, 2, 2)),
        "mel": rows[:, None, None] + random.uniform(0, 0.1, (COUNT, 206, 80)),
        "face": random.random((COUNT, 9, 2, 2)),
        "mouth": random.random((COUNT, 9, 2, 2)),
        "transcript": np.array(SENTENCES)[rows % 4],
        "caption": np.array([f"toon {row}" for row in rows]),
        "voice": voice,
        "start": np.array(STARTS)[rows % 4],
        "end": np.array(STARTS)[rows % 4] + 70,
        "kept_latents": np.array((0, 0, 3, 2))[rows % 4],
        "fits": rows < 12,
    }
    speaks = np.array([(True, False), (False, True), (True, True)])[rows % 3]
    pairs = {
        "video": random.normal(size=(COUNT, 48, 9, 2, 4)),
        "mel": 2 * rows[:, None, None, None]
        + np.arange(2)[:, None, None]
        + random.uniform(0, 0.1, (COUNT, 2, 206, 80)),
        "face": np.stack([np.tile([[1.0, 1, 0, 0]], (9, 2, 1)), np.tile([[0, 0, 1.0, 1]], (9, 2, 1))])[None].repeat(
            COUNT, 0
        ),
        "mouth": np.zeros((COUNT, 2, 9, 2, 4)),
        "transcript": np.where(speaks, "red moon", ""),
        "caption": np.array([[f"both {row}", f"one {row}"] for row in rows]),
        "voice": np.stack([voice, (voice + 1) % 24], 1),
        "start": np.where(speaks, 40.0, 0),
        "end": np.where(speaks, 120.0, 0),
    }
    voices = {
        "mel": np.repeat(np.arange(24), 3)[:, None, None] + np.zeros((72, VOICE_FRAMES[-1] + SILENCE_FRAMES, 80)),
        "frames": np.tile(np.array(VOICE_FRAMES) + SILENCE_FRAMES, 24),
        "transcript": np.repeat([f"voice {i}" for i in range(24)], 3),
        "voice": np.repeat(np.arange(24), 3),
    }
    plans = {}
    for kind, arrays in (("scenes", scenes), ("pairs", pairs), ("voices", voices)):
        plans[kind] = ShardPlan(folder / kind, len(arrays["mel"]))
        save_arrays(plans[kind].shards()[0][0], arrays)
    return plans


@pytest.fixture
def material(folders):
    return Material(folders, CERTAIN, TEXT)


def drawn(material, ask, count=16):
    part = Part(0, 0, count)
    return material.example(ask, part.shared(1), part.own(1))


def whose(example):
    """Row of each track, read off frames that are never silenced."""
    return example.audio[:, 60, 0].int()


def test_steps_are_drawn_by_their_shares_and_run_the_releases_directions():
    config = TaskConfig()
    asks = [draw_ask(config, np.random.default_rng([3, i])) for i in range(6000)]
    for kind in TaskKind:
        share = np.mean([ask.kind is kind for ask in asks])
        assert share == pytest.approx(getattr(config, kind.value), abs=0.02)
    off = [ask for ask in asks if ask.interaction is Interaction.OFF]
    assert len(off) / len(asks) == pytest.approx(config.interaction_off, abs=0.02)
    assert {ask.text_dropout for ask in off} == {config.null_with_off}
    on = {
        (ask.kind, ask.voice, ask.audio_kept): ask.interaction for ask in asks if ask.interaction is not Interaction.OFF
    }
    assert on[TaskKind.JOINT, False, False] is Interaction.BOTH
    assert on[TaskKind.VOICE, True, False] is Interaction.AUDIO_TO_VIDEO
    assert on[TaskKind.CONTINUATION, True, False] is on[TaskKind.CONTINUATION, False, False] is Interaction.BOTH
    assert on[TaskKind.DUBBING, False, False] is Interaction.VIDEO_TO_AUDIO
    assert on[TaskKind.AUDIO_DRIVEN, False, True] is Interaction.AUDIO_TO_VIDEO
    assert on[TaskKind.PAIR, False, False] is Interaction.BOTH


def test_a_voice_is_the_speakers_and_without_it_only_looks_that_fit_are_shown(material):
    without = drawn(material, Ask(TaskKind.JOINT, Interaction.BOTH))
    assert whose(without).max() < 12
    ask = Ask(TaskKind.VOICE, Interaction.AUDIO_TO_VIDEO, voice=True, voice_length=1)
    example = drawn(material, ask)
    assert whose(example).max() >= 12
    assert example.conditions.reference_audio.shape[1] == VOICE_FRAMES[1] + SILENCE_FRAMES
    assert torch.equal(example.conditions.reference_audio[:, 0, 0].int(), whose(example) % 24)


@pytest.mark.parametrize("any_emotion", [True, False])
def test_only_dubbing_may_have_a_voice_of_another_emotion_and_never_of_another_speaker(folders, any_emotion):
    material = Material(folders, replace(CERTAIN, any_emotion_in_dubbing=any_emotion), TEXT)
    for kind in (TaskKind.DUBBING, TaskKind.VOICE):
        example = drawn(material, Ask(kind, Interaction.VIDEO_TO_AUDIO, voice=True))
        heard, asked = example.conditions.reference_audio[:, 0, 0].int(), whose(example) % 24
        assert torch.equal(heard // 3, asked // 3)
        assert torch.equal(heard, asked) == (kind is TaskKind.VOICE or not any_emotion)


def test_continuation_keeps_both_up_to_the_sentence_and_shows_an_earlier_picture(material):
    example = drawn(material, Ask(TaskKind.CONTINUATION, Interaction.BOTH))
    rows = whose(example)
    assert set((rows % 4).tolist()) == {2, 3}
    latents = torch.where(rows % 4 == 2, 3, 2)
    assert torch.equal(example.video_kept.sum(1), latents)
    assert torch.equal(example.audio_kept.sum(1), torch.where(rows % 4 == 2, 56, 31))
    assert not torch.equal(example.conditions.reference_image, example.video[:, :, :1])
    places = example.conditions.speech_positions[:, 0] - TEXT.position_offset
    torch.testing.assert_close(places, torch.where(rows % 4 == 2, 56.25, 31.25))


def test_driven_clips_keep_all_sound_and_dubbing_all_video(material):
    example = drawn(material, Ask(TaskKind.AUDIO_DRIVEN, Interaction.AUDIO_TO_VIDEO, audio_kept=True))
    assert example.audio_kept.all()
    assert torch.equal(example.video_kept.sum(1), torch.ones(16, dtype=torch.long))
    example = drawn(material, Ask(TaskKind.DUBBING, Interaction.VIDEO_TO_AUDIO))
    assert example.video_kept.all()
    assert not example.audio_kept.any()


def test_kept_silence_before_a_later_sentence_is_digital_and_ends_where_it_begins(material):
    example = drawn(material, Ask(TaskKind.JOINT, Interaction.BOTH))
    silence = silent_mel()
    for audio, kept, row in zip(example.audio, example.audio_kept, whose(example), strict=True):
        start = 50 if row % 4 == 1 else 0
        assert kept[:start].all()
        assert not kept[start : start + 74].any()
        assert kept[start + 110 :].all()
        torch.testing.assert_close(audio[kept], silence.expand(int(kept.sum()), 80))
        assert (audio[~kept] >= 0).all()


def test_one_track_of_a_pair_is_the_speakers_with_its_own_face(material):
    example = drawn(material, Ask(TaskKind.PAIR, Interaction.BOTH))
    row, side = whose(example) // 2, whose(example) % 2
    assert set((row % 3).tolist()) == {0, 1}
    assert torch.equal(side, (row % 3).int())
    mask = example.conditions.steering.mask
    assert mask.shape[:2] == (16, 1)
    assert torch.equal(mask[:, 0, 0, 0, 3], side.float())
    assert torch.equal(mask[:, 0, 0, 0, 0], 1 - side.float())
    assert (example.face == 1).all()


def test_two_tracks_of_a_pair_are_both_toons_and_the_silent_one_is_kept_silent(material):
    example = drawn(material, Ask(TaskKind.PAIR, Interaction.BOTH, tracks=2))
    silence = silent_mel()
    silent = example.audio_kept.all(1)
    assert silent.any()
    torch.testing.assert_close(example.audio[silent], silence.expand(int(silent.sum()), 206, 80))
    assert example.audio[silent, 100].max() < 0
    masks = example.conditions.steering.mask
    assert torch.equal(masks.sum(1), torch.ones_like(masks[:, 0]))
    sides = masks[:, :, 0, 0, 3].flatten()
    assert torch.equal(whose(example)[~silent] % 2, sides[~silent].int())
    assert 0 < sides[::2].mean() < 1
    assert (example.conditions.speech_ids[silent][:, 1:] == -1).all()


def test_hand_drawn_masks_stand_still_or_cover_half(folders):
    moving = TaskConfig(still_mask=0.0, half_mask=1.0)
    mask = drawn(
        Material(folders, moving, TEXT), Ask(TaskKind.PAIR, Interaction.BOTH, tracks=2)
    ).conditions.steering.mask
    assert torch.equal(mask.amax(2), mask.amin(2))
    assert set(mask.flatten().tolist()) == {0.0, 1.0}


def test_a_silent_half_of_the_steps_texts_is_told_nothing(material):
    ask = Ask(TaskKind.JOINT, Interaction.OFF, text_dropout=1.0)
    example = drawn(material, ask)
    assert (example.conditions.speech_ids[:, 1:] == -1).all()
    assert torch.equal(example.conditions.caption, example.conditions.caption[:1].expand_as(example.conditions.caption))


def test_texts_lie_after_the_voice_and_voice_texts_from_its_start():
    fields = speech_tensors(
        [SpokenText("red", 20.0, "one"), SpokenText("red", 20.0), SpokenText(None, 20.0, "one")], TEXT, 150
    )
    offset, scale = TEXT.position_offset, TEXT.position_scale
    own = [150 + 20 + offset + scale * i for i in range(3)]
    voice = [offset + scale * i for i in range(4)]
    np.testing.assert_allclose(fields["speech_positions"][0, :7], voice + own, rtol=1e-6)
    np.testing.assert_allclose(fields["speech_positions"][1, :3], own, rtol=1e-6)
    np.testing.assert_allclose(fields["speech_positions"][2, :5], voice + own[:1], rtol=1e-6)
    assert fields["speech_lengths"].tolist() == [10, 10, 10]
    assert (fields["speech_ids"][2, 4:] == -1).all()


def test_a_blind_step_learns_the_same_sound_beside_a_blank_picture(material):
    ask = Ask(TaskKind.VOICE, Interaction.AUDIO_TO_VIDEO, voice=True, voice_length=0)
    seeing, blind = drawn(material, ask), drawn(material, replace(ask, blind=True))
    assert torch.equal(blind.audio, seeing.audio)
    assert torch.equal(blind.conditions.reference_audio, seeing.conditions.reference_audio)
    assert blind.video.shape[2:] == (1, 2, 2)
    assert not blind.video.any()
    assert blind.video_kept.all()
    assert blind.conditions.interaction is Interaction.OFF


def test_steps_in_parts_have_the_losses_of_whole_steps_named_after_their_tasks(material):
    torch.manual_seed(0)
    model = JointModel(TINY)
    initialize(model)
    step = TaskStep(material, CERTAIN, 3)
    names = set()
    for number in range(12):
        losses = step(model, Part(number, 0, 4), 0.5)
        names |= set(losses)
        parts = [step(model, Part(number, first, 2), 0.5) for first in (0, 2)]
        for name, value in losses.items():
            mean = (parts[0][name] + parts[1][name]) / 2
            torch.testing.assert_close(mean, value, rtol=1e-4, atol=1e-6, msg=f"{name} of step {number}")
            assert step(model, Part(number, 0, 4), 0.5)[name].item() == value.item()
    assert {"loss", "mask", "video_pair", "audio_voice", "audio_continuation"} <= names
    assert not {"audio_audio_driven", "video_dubbing"} & names


def test_a_pair_takes_the_place_of_two_clips(material):
    model, seen = JointModel(TINY), []
    initialize(model)

    class Recorder:
        def example(self, ask, shared, own):
            seen.append((ask.kind, len(own)))
            return material.example(ask, shared, own)

    step = TaskStep(Recorder(), CERTAIN, 3)
    for number in range(12):
        step(model, Part(number, 0, 4), 0.0)
    counts = dict(seen)
    assert counts.pop(TaskKind.PAIR) == 2
    assert set(counts.values()) == {4}


def test_a_mouth_counts_more_than_its_face():
    weights = LossWeights(face=0.0, mask=0.0, mouth=4.0)
    video, still = torch.zeros(1, 48, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    mouth = still.clone()
    mouth[:, 1:, 0, 0] = 1

    class Model:
        config = TINY

        def __init__(self, wrong):
            self.wrong = wrong

        def __call__(self, noisy, audio, *_):
            velocity = noisy.clone()  # Of clean zeros at sigma 1, the mix is the noise, and so is the velocity.
            velocity[:, :, 1:, 0, self.wrong] += 1
            return JointOutput(velocity, audio, torch.zeros(1, 1, 3, 4))

    example = Example(
        video, torch.zeros(1, 36, 80), torch.tensor([[True, False, False]]), torch.ones(1, 36, dtype=torch.bool),
        still, mouth, Conditions(torch.zeros(1, 1, 64), torch.zeros(1, 10, dtype=torch.long)),
    )  # fmt: skip

    def loss_of(wrong):
        return example_losses(Model(wrong), example, torch.tensor([1.0]), weights, Part(0, 0, 1).own(0))["video"]

    torch.testing.assert_close(loss_of(wrong=0), 5 * loss_of(wrong=1))
