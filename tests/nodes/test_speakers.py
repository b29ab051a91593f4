"""One chosen face, and several speakers with a track each."""

import pytest
import torch

from uniavgen_core.media.audio.loudness import under_ceiling

STEERING = {"mode": "replace", "strength": 1.0, "start_sigma": 1.0, "stop_sigma": 0.0}


@pytest.fixture
def latent(studio):
    return studio.nodes.empty_latent.EmptyLatent.execute(64, 64, 1.0625).args[0]


def halves(height=40, width=60):
    """Masks of the left and of the right half."""
    left = torch.zeros(1, height, width)
    left[..., : width // 2] = 1
    return left, 1 - left


def speaker(studio, text, start=0.0, stop=0.0, **more):
    return studio.nodes.speakers.OneSpeaker.execute(text, start, stop, **more).args[0]


def together(studio, latent, *speakers, **steering):
    positive, negative = studio.texts(None)
    named = {f"speaker{i}": one for i, one in enumerate(speakers)}
    return studio.nodes.speakers.Speakers.execute(positive, negative, latent, named, **(STEERING | steering)).args


def test_every_speaker_has_a_track_a_transcript_and_a_mask(studio, latent):
    left, right = halves()
    keys = studio.nodes.host.conditioning.pass_settings
    one, two = speaker(studio, "hello", 0, 0.5, mask=left), speaker(studio, "moon", 0.5, mask=right)
    positive, _, joint = together(studio, latent, one, two)
    run = keys.pass_settings_of(positive[0][1])
    assert [(speech.text, speech.start) for speech in run.speeches] == [("hello", 0), ("moon", 0.5)]
    masks = positive[0][1][keys.FACE_MASK_KEY]
    assert masks.shape == (1, 2, 5, 4, 4)
    assert torch.equal(masks[0, 0, 0, 0], torch.tensor([1.0, 1, 0, 0]))
    assert torch.equal(masks[0, 1], 1 - masks[0, 0])
    assert joint["samples"].unbind()[1].shape == (1, 2, 106, 80)


def test_a_speaker_is_kept_silent_outside_the_given_time(studio, latent):
    joint = together(studio, latent, speaker(studio, "hello", 0.2, 0.5), speaker(studio, "moon", 0.5))[2]
    audio, mask = joint["samples"].unbind()[1], joint["noise_mask"].unbind()[1][0, :, :, 0]
    assert mask[0].nonzero().flatten().tolist() == list(range(20, 50))
    assert mask[1].nonzero().flatten().tolist() == list(range(50, 106))
    silence = studio.nodes.host.conditioning.speaker_tracks.silence(1)[0]
    assert torch.allclose(audio[0, 0, 60], silence)


def test_every_track_speaks_in_its_own_time_and_in_no_other(studio, latent):
    one, two = speaker(studio, "hello", 0, 0.5), speaker(studio, "moon", 0.5)
    sampled = studio.sample(*together(studio, latent, one, two))["samples"].unbind()[1][0]
    silent = torch.isclose(sampled, studio.nodes.host.conditioning.speaker_tracks.silence(106), atol=1e-5).all(dim=-1)
    assert silent[0].tolist() == [False] * 50 + [True] * 56
    assert silent[1].tolist() == [True] * 50 + [False] * 56


def test_two_speakers_are_sampled_and_mixed(studio, latent):
    left, right = halves()
    one, two = speaker(studio, "hello", 0, 0.5, mask=left), speaker(studio, "moon", 0.5, mask=right)
    sampled = studio.sample(*together(studio, latent, one, two))
    images, audio, _ = studio.decode(sampled)
    assert images.shape == (17, 64, 64, 3)
    assert audio["waveform"].shape == (1, 1, 106 * 240)
    tracks = sampled["samples"].unbind()[1]
    alone = [studio.audio_vae.synthesize(tracks[:, i : i + 1]) for i in range(2)]
    torch.testing.assert_close(audio["waveform"], under_ceiling(sum(alone)), atol=1e-3, rtol=0)


def test_without_masks_every_speaker_has_the_whole_picture(studio, latent):
    keys = studio.nodes.host.conditioning.pass_settings
    positive = together(studio, latent, speaker(studio, "hello"), speaker(studio, "moon"))[0]
    assert positive[0][1][keys.FACE_MASK_KEY].min() == 1


def test_voices_of_different_lengths_end_together(studio, latent):
    keys = studio.nodes.host.conditioning.pass_settings
    audio = studio.example()[1]
    half = {**audio, "waveform": audio["waveform"][..., : audio["sample_rate"] * 3 // 2]}
    one, two = speaker(studio, "hello", voice=audio), speaker(studio, "moon", voice=half)
    voices = together(studio, latent, one, two)[0][0][1][keys.REFERENCE_VOICE_KEY]
    lone = speaker(studio, "moon", voice=half).voice
    assert voices.shape[:2] == (1, 2)
    torch.testing.assert_close(voices[0, 1, -len(lone) :], lone)
    missing = voices.shape[2] - len(lone)
    torch.testing.assert_close(voices[0, 1, :missing], studio.nodes.host.conditioning.speaker_tracks.silence(missing))


@pytest.mark.parametrize(("start", "stop"), [(0.5, 0.2), (5.0, 6.0)])
def test_a_time_outside_the_clip_is_named(studio, latent, start, stop):
    with pytest.raises(ValueError, match="Speaker 1 speaks from"):
        together(studio, latent, speaker(studio, "hello", start, stop))


def test_speakers_without_their_latent_are_named(studio, latent):
    positive, negative, _ = together(studio, latent, speaker(studio, "hello"), speaker(studio, "moon"))
    with pytest.raises(ValueError, match=r"2 speaker\(s\), the latent 1 audio track"):
        studio.sample(positive, negative, latent)


def steer(studio, latent, mask, **steering):
    node = studio.nodes.speakers.SteerFace
    return node.execute(*studio.texts(), latent, mask, **(STEERING | steering)).args


def test_the_chosen_mask_moves_the_result_and_a_strength_of_none_does_not(studio, latent):
    left, right = halves()
    results = [studio.sample(*steer(studio, latent, mask), latent) for mask in (left, right)]
    plain = studio.sample(*studio.texts(), latent)
    off = studio.sample(*steer(studio, latent, left, strength=0.0), latent)
    pictures = [result["samples"].unbind()[0] for result in (*results, plain, off)]
    assert not torch.allclose(pictures[0], pictures[1])
    torch.testing.assert_close(pictures[2], pictures[3])


def test_steering_counts_only_within_its_noise_levels(studio, latent):
    left, _ = halves()
    plain = studio.sample(*studio.texts(), latent, steps=2)["samples"].unbind()[0]
    later = studio.sample(*steer(studio, latent, left, start_sigma=0.001), latent, steps=2)["samples"].unbind()[0]
    torch.testing.assert_close(plain, later)
    with pytest.raises(ValueError, match="above its start"):
        steer(studio, latent, left, start_sigma=0.2, stop_sigma=0.6)
