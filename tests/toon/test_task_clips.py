"""What the five tasks and two faces are trained on: who is drawn, what is kept, what the network is told."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from toon import MODEL
from toon.training.clip_shards import VOICE_FRAMES, ShardPlan, save_arrays
from toon.training.task_clips import TaskClips, around
from toon.training.toon_tasks import PAIR, TOON_TASKS, ToonSample, ToonTaskConfig
from uniavgen_core.config import TOON, BranchConfig, Interaction
from uniavgen_core.media.audio.mel import silent_mel
from uniavgen_core.media.audio.reference_voice import SILENCE_FRAMES
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import Conditions, JointModel, JointOutput
from uniavgen_core.tasks import AUDIO_DRIVEN, CONTINUATION, DUBBING, JOINT, REFERENCE_VOICE, RELIP, Keep
from uniavgen_core.text.speech_tensors import SpokenText, speech_tensors
from uniavgen_core.training.batch_part import Part
from uniavgen_core.training.flow_matching import CleanClips, LossWeights, flow_matching_losses, with_noise
from uniavgen_core.training.task_sampling import task_objective

TEXT = MODEL.text
TINY = replace(TOON, video=BranchConfig(16, 32, 2), audio=BranchConfig(16, 32, 2), num_layers=2, num_interactions=1)
CERTAIN = ToonTaskConfig(
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
        "eyes": random.random((COUNT, 9, 2, 2)),
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
        "eyes": np.zeros((COUNT, 2, 9, 2, 4)),
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
        plans[kind] = (ShardPlan(folder / kind, len(arrays["mel"])),)
        save_arrays(plans[kind][0].shards()[0][0], arrays)
    return plans


@pytest.fixture
def material(folders):
    return TaskClips(folders, CERTAIN, TEXT)


def drawn(material, sample, count=16):
    part = Part(0, 0, count)
    return material.draw_clips(sample, part.shared(1), part.own(1))


def whose(example):
    """Row of each track, read off frames that are never silenced."""
    return example.audio[:, 60, 0].int()


def test_steps_are_drawn_by_their_shares_and_run_the_releases_directions():
    config = ToonTaskConfig()
    samples = [config.sample_task(np.random.default_rng([3, i])) for i in range(6000)]
    for task in TOON_TASKS:
        share = np.mean([sample.task.name == task.name for sample in samples])
        assert share == pytest.approx(getattr(config, task.name), abs=0.02)
    off = [sample for sample in samples if sample.interaction is Interaction.OFF]
    assert len(off) / len(samples) == pytest.approx(config.interaction_off, abs=0.02)
    assert {sample.text_dropout for sample in off} == {config.null_with_off}
    found = {
        (sample.task.name, sample.has_voice, sample.task.audio is Keep.ALL, sample.interaction)
        for sample in samples
        if sample.interaction is not Interaction.OFF
    }
    a2v, v2a, both = Interaction.AUDIO_TO_VIDEO, Interaction.VIDEO_TO_AUDIO, Interaction.BOTH
    assert found == {
        ("joint", False, False, both),
        ("reference_voice", True, False, a2v),
        ("continuation", True, False, both),
        ("continuation", False, False, both),
        ("dubbing", True, False, v2a),
        ("dubbing", False, False, v2a),
        ("audio_driven", False, True, a2v),
        ("pair", False, False, both),
        ("pair", True, False, a2v),
        ("pair", False, True, a2v),
    }


def test_the_audio_branch_alone_learns_in_its_share_of_voices_and_of_joint_steps():
    config = ToonTaskConfig(joint_blind=0.4, voice_blind=0.7)
    samples = [config.sample_task(np.random.default_rng([3, i])) for i in range(6000)]
    for name, share in {"joint": 0.4, "reference_voice": 0.7}.items():
        alone = [sample.audio_alone for sample in samples if sample.task.name == name]
        assert np.mean(alone) == pytest.approx(share, abs=0.05)
    assert {sample.task.name for sample in samples if sample.audio_alone} == {"joint", "reference_voice"}


def test_a_voice_is_the_speakers_and_without_it_only_looks_that_fit_are_shown(material):
    without = drawn(material, ToonSample(JOINT, Interaction.BOTH))
    assert whose(without).max() < 12
    sample = ToonSample(REFERENCE_VOICE, Interaction.AUDIO_TO_VIDEO, has_voice=True, voice_length=1)
    example = drawn(material, sample)
    assert whose(example).max() >= 12
    assert example.conditions.reference_audio.shape[1] == VOICE_FRAMES[1] + SILENCE_FRAMES
    assert torch.equal(example.conditions.reference_audio[:, 0, 0].int(), whose(example) % 24)


@pytest.mark.parametrize("any_emotion", [True, False])
def test_only_dubbing_may_have_a_voice_of_another_emotion_and_never_of_another_speaker(folders, any_emotion):
    material = TaskClips(folders, replace(CERTAIN, any_emotion_in_dubbing=any_emotion), TEXT)
    for task in (DUBBING, REFERENCE_VOICE):
        example = drawn(material, ToonSample(task, Interaction.VIDEO_TO_AUDIO, has_voice=True))
        heard, asked = example.conditions.reference_audio[:, 0, 0].int(), whose(example) % 24
        assert torch.equal(heard // 3, asked // 3)
        assert torch.equal(heard, asked) == (task is REFERENCE_VOICE or not any_emotion)


def test_continuation_keeps_both_up_to_the_sentence_and_shows_an_earlier_picture(material):
    example = drawn(material, ToonSample(CONTINUATION, Interaction.BOTH))
    rows = whose(example)
    assert set((rows % 4).tolist()) == {2, 3}
    latents = torch.where(rows % 4 == 2, 3, 2)
    assert torch.equal(example.video_keep_mask.sum(1), latents)
    assert torch.equal(example.audio_keep_mask.sum(1), torch.where(rows % 4 == 2, 56, 31))
    assert not torch.equal(example.conditions.reference_image, example.video[:, :, :1])
    places = example.conditions.speech_positions[:, 0] - TEXT.position_offset
    torch.testing.assert_close(places, torch.where(rows % 4 == 2, 56.25, 31.25))


def test_driven_clips_keep_all_sound_and_dubbing_all_video(material):
    example = drawn(material, ToonSample(AUDIO_DRIVEN, Interaction.AUDIO_TO_VIDEO))
    assert example.audio_keep_mask.all()
    assert torch.equal(example.video_keep_mask.sum(1), torch.ones(16, dtype=torch.long))
    example = drawn(material, ToonSample(DUBBING, Interaction.VIDEO_TO_AUDIO))
    assert example.video_keep_mask.all()
    assert not example.audio_keep_mask.any()


def test_kept_silence_before_a_later_sentence_is_digital_and_ends_where_it_begins(material):
    example = drawn(material, ToonSample(JOINT, Interaction.BOTH))
    silence = silent_mel()
    for audio, kept, row in zip(example.audio, example.audio_keep_mask, whose(example), strict=True):
        start = 50 if row % 4 == 1 else 0
        assert kept[:start].all()
        assert not kept[start : start + 74].any()
        assert kept[start + 110 :].all()
        torch.testing.assert_close(audio[kept], silence.expand(int(kept.sum()), 80))
        assert (audio[~kept] >= 0).all()


def test_one_track_of_a_pair_is_the_speakers_with_its_own_face(material):
    example = drawn(material, ToonSample(PAIR, Interaction.BOTH))
    row, side = whose(example) // 2, whose(example) % 2
    assert set((row % 3).tolist()) == {0, 1}
    assert torch.equal(side, (row % 3).int())
    mask = example.conditions.steering.mask
    assert mask.shape[:2] == (16, 1)
    assert torch.equal(mask[:, 0, 0, 0, 3], side.float())
    assert torch.equal(mask[:, 0, 0, 0, 0], 1 - side.float())
    assert (example.face == 1).all()


def test_two_tracks_of_a_pair_are_both_toons_and_the_silent_one_is_kept_silent(material):
    example = drawn(material, ToonSample(PAIR, Interaction.BOTH, tracks=2))
    silence = silent_mel()
    silent = example.audio_keep_mask.all(1)
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
    moving = ToonTaskConfig(still_mask=0.0, half_mask=1.0)
    mask = drawn(
        TaskClips(folders, moving, TEXT), ToonSample(PAIR, Interaction.BOTH, tracks=2)
    ).conditions.steering.mask
    assert torch.equal(mask.amax(2), mask.amin(2))
    assert set(mask.flatten().tolist()) == {0.0, 1.0}


def test_a_silent_half_of_the_steps_texts_is_told_nothing(material):
    sample = ToonSample(JOINT, Interaction.OFF, text_dropout=1.0)
    example = drawn(material, sample)
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


def test_a_step_of_the_audio_branch_alone_learns_the_same_sound_beside_a_blank_picture(material):
    sample = ToonSample(REFERENCE_VOICE, Interaction.AUDIO_TO_VIDEO, has_voice=True, voice_length=0)
    seeing, alone = drawn(material, sample), drawn(material, replace(sample, audio_alone=True))
    assert torch.equal(alone.audio, seeing.audio)
    assert torch.equal(alone.conditions.reference_audio, seeing.conditions.reference_audio)
    assert alone.video.shape[2:] == (1, 2, 2)
    assert not alone.video.any()
    assert alone.video_keep_mask.all()
    assert alone.conditions.interaction is Interaction.OFF


def test_steps_in_parts_have_the_losses_of_whole_steps_named_after_their_tasks(material):
    torch.manual_seed(0)
    model = JointModel(TINY)
    initialize(model)
    objective, names = task_objective(material, CERTAIN, 3), set()

    def losses_of(part):
        return objective.losses(model, objective.data[part], 0.5)

    for number in range(12):
        losses = losses_of(Part(number, 0, 4))
        names |= set(losses)
        parts = [losses_of(Part(number, first, 2)) for first in (0, 2)]
        for name, value in losses.items():
            mean = (parts[0][name] + parts[1][name]) / 2
            torch.testing.assert_close(mean, value, rtol=1e-4, atol=1e-6, msg=f"{name} of step {number}")
            assert losses_of(Part(number, 0, 4))[name].item() == value.item()
    assert {"loss", "mask", "video_pair", "audio_reference_voice", "audio_continuation"} <= names
    assert not {"audio_audio_driven", "video_dubbing"} & names


def test_kept_sound_is_learned_where_only_its_start_is_kept():
    learned = {
        lead: {
            sample.learned
            for sample in (ToonTaskConfig(lead=lead).sample_task(np.random.default_rng([3, i])) for i in range(300))
            if sample.task is AUDIO_DRIVEN
        }
        for lead in (0.0, 0.3)
    }
    assert learned == {0.0: {("video",)}, 0.3: {("video", "audio")}}


def test_a_pair_takes_the_place_of_two_clips(material):
    seen = []

    class Recorder:
        def draw_clips(self, sample, shared, own):
            seen.append((sample.task.name, len(own)))
            return material.draw_clips(sample, shared, own)

    batches = task_objective(Recorder(), CERTAIN, 3).data
    for number in range(12):
        batches[Part(number, 0, 4)]
    counts = dict(seen)
    assert counts.pop("pair") == 2
    assert set(counts.values()) == {4}


@pytest.mark.parametrize("part", ["mouth", "eyes"])
def test_mouth_and_eyes_count_more_than_their_face(part):
    weights = LossWeights(**{part: 4.0})
    video, still = torch.zeros(1, 48, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    drawn = still.clone()
    drawn[:, 1:, 0, 0] = 1

    class Model:
        config = TINY

        def __init__(self, wrong):
            self.wrong = wrong

        def __call__(self, noisy, audio, *_):
            velocity = noisy.clone()  # Of clean zeros at sigma 1, the mix is the noise, and so is the velocity.
            velocity[:, :, 1:, 0, self.wrong] += 1
            return JointOutput(velocity, audio, torch.zeros(1, 1, 3, 4))

    clips = CleanClips(
        video, torch.zeros(1, 36, 80), torch.tensor([[True, False, False]]), torch.ones(1, 36, dtype=torch.bool),
        still, still, Conditions(torch.zeros(1, 1, 64), torch.zeros(1, 10, dtype=torch.long)),
    )  # fmt: skip
    clips = replace(clips, **{part: drawn})

    def loss_of(wrong):
        batch = with_noise(clips, torch.tensor([1.0]), Part(0, 0, 1).own(0))
        return flow_matching_losses(Model(wrong), batch, weights)["video"]

    torch.testing.assert_close(loss_of(wrong=0), 5 * loss_of(wrong=1))


def test_scenes_of_several_lengths_are_drawn_by_their_numbers_and_never_mixed(folders, tmp_path):
    (long,) = folders["scenes"]
    arrays = dict(np.load(long.shards()[0][0]))
    short = {name: values[:8] for name, values in arrays.items()}
    short |= {name: short[name][:, :5] for name in ("face", "mouth", "eyes")}
    short |= {"video": short["video"][:, :, :5], "mel": short["mel"][:, :106]}
    plan = ShardPlan(tmp_path / "short", 8)
    save_arrays(plan.shards()[0][0], short)
    material = TaskClips(folders | {"scenes": (long, plan)}, CERTAIN, TEXT)
    sample = ToonSample(JOINT, Interaction.BOTH)
    parts = [Part(step, 0, 4) for step in range(200)]
    clips = [material.draw_clips(sample, part.shared(1), part.own(1)) for part in parts]
    assert {(clip.video.shape[2], clip.audio.shape[1]) for clip in clips} == {(9, 206), (5, 106)}
    assert np.mean([clip.video.shape[2] == 5 for clip in clips]) == pytest.approx(8 / 32, abs=0.1)


def test_new_lips_keep_all_but_a_region_about_the_mouth_or_the_face(material):
    mouth, face = torch.zeros(1, 2, 6, 6), torch.zeros(1, 2, 6, 6)
    mouth[0, 0, 4, 2] = mouth[0, 1, 4, 3] = 0.1
    face[:, :, 1:6, 1:5] = 0.5
    yes, no = torch.ones(1, dtype=torch.bool), torch.zeros(1, dtype=torch.bool)
    moving, still, whole = (~around(mouth, face, *flags)[0] for flags in ((no, no), (no, yes), (yes, no)))
    expected = torch.zeros(2, 6, 6, dtype=torch.bool)
    expected[0, 3:6, 1:4] = expected[1, 3:6, 2:5] = True
    assert torch.equal(moving, expected)
    assert torch.equal(still, expected.any(0).expand(2, -1, -1))
    assert torch.equal(whole, face[0] > 0)
    clips = drawn(material, ToonSample(RELIP, Interaction.BOTH))
    assert clips.video_keep_mask.shape == clips.mouth.shape
    assert not clips.audio_keep_mask[:, 60].any()


def test_new_lips_have_given_sound_and_voices_in_their_shares():
    config = replace(CERTAIN, joint=0, reference_voice=0, continuation=0, dubbing=0, audio_driven=0, pair=0, relip=1)
    random = np.random.default_rng(0)
    samples = [config.sample_task(random) for _ in range(2000)]
    driven = [sample.task.audio is Keep.ALL for sample in samples]
    assert np.mean(driven) == pytest.approx(config.driven_relip, abs=0.04)
    voices = [sample.has_voice for sample, given in zip(samples, driven, strict=True) if not given]
    assert np.mean(voices) == pytest.approx(config.voice_in_relip, abs=0.04)
    assert not any(sample.has_voice for sample, given in zip(samples, driven, strict=True) if given)
