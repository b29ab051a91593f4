"""Network, guidance and sampler together."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from tests.toys import Clip, random_model
from uniavgen_core.config import AfterShare, GuidanceConfig, Interaction
from uniavgen_core.diffusion.flow import denoised_to_velocity
from uniavgen_core.diffusion.guidance import GuidancePlan
from uniavgen_core.diffusion.schedule import release_sigmas
from uniavgen_core.model.joint import JointOutput
from uniavgen_core.pipeline import Denoiser, KeptLatents, SampleConfig, generate, keep_first_frame, keep_nothing, sample

STEPS = 4
SIGMAS = release_sigmas(STEPS)


class Guesser:
    """Stands in for the network: predicts fixed velocities by the pass it is asked for, and notes its inputs."""

    def __init__(self, velocities):
        self.velocities = velocities
        self.patch_embedding = torch.nn.Linear(1, 1)
        self.calls = []

    def __call__(self, video, audio, timesteps, conditions, keep_masks):
        self.calls.append((video, audio, timesteps, conditions, keep_masks))
        value = self.velocities[conditions.interaction, conditions.skip_layer]
        return JointOutput(torch.full_like(video, value), torch.full_like(audio, value), None)


@pytest.fixture
def clip():
    return Clip(dtype=torch.float32)


def denoiser_of(guesser, clip, guidance, kept=None):
    kept = kept or keep_nothing(clip.video, clip.audio)
    return Denoiser(guesser, clip.conditions, clip.conditions, kept, GuidancePlan.of(guidance, SIGMAS))


VELOCITIES = {
    (Interaction.BOTH, None): 1.0,  # with conditions
    (Interaction.OFF, 11): 0.25,  # null pass of the first half
    (Interaction.BOTH, 11): 0.5,  # null pass of the second half
}


def test_picture_and_sound_are_guided_by_one_null_pass_each_with_its_scale(clip):
    denoiser = denoiser_of(Guesser(VELOCITIES), clip, GuidanceConfig(video_scale=3, audio_scale=2))
    noisy = torch.zeros_like(clip.video), torch.zeros_like(clip.audio)
    guided = [[-part.mean().item() / sigma for part in denoiser(noisy, sigma)] for sigma in SIGMAS[:-1].tolist()]
    early, late = [0.25 + 3 * 0.75, 0.25 + 2 * 0.75], [0.5 + 3 * 0.5, 0.5 + 2 * 0.5]
    for got, want in zip(guided, (early, early, late, late), strict=True):
        assert got == pytest.approx(want)
    assert len(denoiser.model.calls) == 2 * STEPS


def test_unguided_steps_run_the_network_once(clip):
    paper = denoiser_of(Guesser(VELOCITIES), clip, GuidanceConfig(after_share=AfterShare.NONE))
    generate(paper, (clip.video, clip.audio), SIGMAS)
    assert len(paper.model.calls) == STEPS + STEPS // 2
    plain = denoiser_of(Guesser(VELOCITIES), clip, GuidanceConfig(video_scale=1, audio_scale=1))
    generate(plain, (clip.video, clip.audio), SIGMAS)
    assert len(plain.model.calls) == STEPS


def sample_heun(denoise, noisy, sigmas):
    """Heun's method, which calls the network twice a step: at both ends of it."""
    for sigma, next_sigma in pairwise(sigmas.tolist()):
        slope = [denoised_to_velocity(x, clean, sigma) for x, clean in zip(noisy, denoise(noisy, sigma), strict=True)]
        moved = [x + d * (next_sigma - sigma) for x, d in zip(noisy, slope, strict=True)]
        if next_sigma > 0:
            ends = zip(moved, denoise(tuple(moved), next_sigma), strict=True)
            end_slope = [denoised_to_velocity(x, clean, next_sigma) for x, clean in ends]
            means = ((a + b) / 2 for a, b in zip(slope, end_slope, strict=True))
            moved = [x + d * (next_sigma - sigma) for x, d in zip(noisy, means, strict=True)]
        noisy = tuple(moved)
    return noisy


def test_a_sampler_that_calls_twice_a_step_has_the_null_pass_of_each_calls_noise_level(clip):
    guesser = Guesser(VELOCITIES)
    sample_heun(denoiser_of(guesser, clip, GuidanceConfig()), (clip.video, clip.audio), SIGMAS)
    null = [(call[2][0].max().item() / 1000, call[3].interaction) for call in guesser.calls[1::2]]
    first_late = SIGMAS[STEPS // 2].item()
    assert len(null) == 2 * STEPS - 1
    for sigma, interaction in null:
        late = sigma < first_late + 1e-6
        assert interaction is (Interaction.BOTH if late else Interaction.OFF), sigma


def test_kept_parts_are_clean_at_time_zero_in_every_pass_and_exact_in_the_result(clip):
    kept = KeptLatents(
        torch.full_like(clip.video, 7.0),
        torch.full_like(clip.audio, 8.0),
        torch.tensor([[True, True, False, False]]),
        torch.arange(26)[None] < 10,
    )
    guesser = Guesser(VELOCITIES)
    states = []
    video, audio = generate(
        denoiser_of(guesser, clip, GuidanceConfig(), kept),
        (clip.video, clip.audio),
        SIGMAS,
        lambda _, state: states.append(state),
    )
    for (video_input, audio_input, (video_times, audio_times), _, keep_masks), sigma in zip(
        guesser.calls, SIGMAS[:-1].repeat_interleave(2).tolist(), strict=True
    ):
        assert (video_input[:, :, :2] == 7).all()
        assert (audio_input[:, :10] == 8).all()
        assert not (video_input[:, :, 2:] == 7).any()
        assert video_times[0].tolist() == pytest.approx([0, 0, 1000 * sigma, 1000 * sigma])
        assert audio_times[0].tolist() == pytest.approx([0] * 10 + [1000 * sigma] * 16)
        assert torch.equal(keep_masks[0], kept.video_keep)
        assert torch.equal(keep_masks[1], kept.audio_keep)
    assert (video[:, :, :2] == 7).all()
    assert (audio[:, :10] == 8).all()
    assert torch.equal(video[:, :, 2:], states[-1][0][:, :, 2:])
    assert not (states[-1][0][:, :, :2] == 7).any(), "the running state is free, as in the release"


def test_kept_pixels_stand_in_every_call_at_time_0_and_in_the_result(clip):
    around = torch.ones(1, 4, *clip.size, dtype=torch.bool)
    around[:, 1:, :2, 2:] = False
    kept = KeptLatents(torch.full_like(clip.video, 7.0), clip.audio, around, torch.zeros(1, 26, dtype=torch.bool))
    guesser = Guesser(VELOCITIES)
    video, _ = generate(denoiser_of(guesser, clip, GuidanceConfig(), kept), (clip.video, clip.audio), SIGMAS)
    for seen in [call[0] for call in guesser.calls] + [video]:
        assert torch.equal((seen == 7).all(1), around)
    times = guesser.calls[0][2][0]
    assert torch.equal(times == 0, around)
    assert (times[~around] == 1000 * SIGMAS[0]).all()


def test_a_first_frame_is_kept_alone(clip):
    latent = torch.full_like(clip.video[:, :, :1], 5.0)
    kept = keep_first_frame(latent, clip.video, clip.audio)
    video, audio = kept.write_into((clip.video, clip.audio))
    assert (video[:, :, :1] == 5).all()
    assert torch.equal(video[:, :, 1:], clip.video[:, :, 1:])
    assert torch.equal(audio, clip.audio)


def test_a_right_network_brings_noise_to_the_clean_clip_in_any_number_of_steps(clip):
    """A network that knows the clean clip: straight lines, so that even one step arrives."""
    clean = [torch.randn(x.shape, generator=torch.Generator().manual_seed(5)) for x in (clip.video, clip.audio)]

    class Knowing(Guesser):
        def __call__(self, video, audio, timesteps, *_):
            sigma = timesteps[0].max() / 1000
            return JointOutput((video - clean[0]) / sigma, (audio - clean[1]) / sigma, None)

    for steps in (1, 3):
        denoiser = denoiser_of(Knowing(VELOCITIES), clip, GuidanceConfig())
        got = generate(denoiser, (clip.video, clip.audio), release_sigmas(steps))
        for part, want in zip(got, clean, strict=True):
            torch.testing.assert_close(part, want, atol=1e-4, rtol=1e-4)


def test_sampling_a_batch_is_sampling_its_clips():
    clip = Clip(batch=2, dtype=torch.float32)
    model = random_model(dtype=torch.float32)
    config = SampleConfig(2, guidance=GuidanceConfig(skip_layer=1))

    def run(order):
        part = clip.reordered(order)
        null = replace(part.conditions, caption=torch.zeros_like(part.conditions.caption))
        kept = keep_first_frame(part.conditions.reference_image, part.video, part.audio)
        return sample(model, part.conditions, null, kept, (part.video, part.audio), config)

    together, second = run([0, 1]), run([1])
    for both, one in zip(together, second, strict=True):
        torch.testing.assert_close(both[1:], one, atol=1e-4, rtol=1e-4)
        assert not one.requires_grad


def test_a_denoiser_serves_a_second_run_as_the_first(clip):
    denoiser = denoiser_of(Guesser(VELOCITIES), clip, GuidanceConfig())
    noise = clip.video, clip.audio
    first, second = (generate(denoiser, noise, SIGMAS) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
