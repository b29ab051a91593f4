"""Tables and small parts of the network, against the inference release's."""

import re
from dataclasses import replace

import pytest
import torch

from tests.parity.fixtures import (
    Call,
    beyond,
    call_of,
    distances,
    interaction_of,
    numbers_in,
    opened,
    relative_error,
    seeded_tensor,
)
from uniavgen_core.config import RELEASE, BranchConfig, GuidanceConfig, ModelConfig
from uniavgen_core.diffusion.guidance import GuidancePlan
from uniavgen_core.diffusion.schedule import release_sigmas
from uniavgen_core.layers.backend import TORCH
from uniavgen_core.layers.rope import apply_rope, rope_1d, rope_3d, rope_time_only, sinusoid
from uniavgen_core.model.alignment import _latent_of, audio_windows, frame_positions, interpolate, latent_weights
from uniavgen_core.model.alignment_tables import build_geometry
from uniavgen_core.model.cross_modal import AudioToVideoAttention, VideoToAudioAttention
from uniavgen_core.model.joint import Conditions, JointOutput
from uniavgen_core.model.speech_text import SpeechTextEncoder
from uniavgen_core.pipeline import Denoiser, generate, keep_nothing
from uniavgen_core.shapes import video_frames_of

ROUNDING = 1e-6
FLOAT32 = 1e-5


@pytest.fixture
def components(golden):
    return opened(golden, "components")


def salts(golden):
    """Salts the inputs may have been made with: the file need not say, and tables need none."""
    return sorted({opened(golden, "components").salt, opened(golden, "forward_f32").salt, ""}, reverse=True)


def nearest(golden, compute, want):
    """Relative error of what ``compute`` makes of seeded inputs, by the salt that fits."""
    errors = []
    for salt in salts(golden):
        got = compute(lambda name, shape, salt=salt: seeded_tensor(name, shape, salt=salt))
        errors.append(max(distances(got, want).values()))
    return min(errors)


# Alignment.


def test_a_latent_hears_the_releases_window(components, window):
    tokens, latents = numbers_in(window)
    windows = audio_windows(tokens, latents, RELEASE)
    assert torch.equal(torch.tensor(windows.index, dtype=torch.int32), components.data[f"a2v_window/{window}"])
    assert len(windows.key_times) == components.info["a2v_window"][window]["window_length"]


def test_a_sound_token_sees_the_releases_mix_of_latents(components, weights):
    clip, precision = weights.split("/")
    tokens, latents = numbers_in(clip)
    variant = replace(RELEASE, bfloat16_positions=precision == "bf16")
    stored = components.under(f"v2a/{weights}/")
    low, high, low_weight, high_weight = interpolate(
        frame_positions(tokens, video_frames_of(latents), variant), video_frames_of(latents)
    )
    assert low == stored["frame_lo"].tolist()
    assert high == stored["frame_up"].tolist()
    assert torch.equal(torch.tensor(low_weight), stored["w_lo"])
    assert torch.equal(torch.tensor(high_weight), stored["w_up"])
    seen = torch.zeros(tokens, latents)
    for token, mix in enumerate(latent_weights(tokens, latents, variant)):
        for latent, weight in mix.items():
            seen[token, latent] = weight
    torch.testing.assert_close(seen, stored["latent_weights"], atol=ROUNDING, rtol=0)
    assert torch.equal(seen != 0, stored["latent_weights"] != 0)
    assert set(map(_latent_of, low + high)) == set(range(latents))


# Embeddings.


def rotation_table(name, width, tokens):
    sizes = numbers_in(name)
    if name.startswith("audio_1d"):
        return "rope_q1d", rope_1d(torch.arange(tokens), width)
    if name.startswith("video_3d"):
        times, rows, columns = sizes[-3:]
        return "rope_q3d", rope_3d(torch.arange(times), rows, columns, width)
    if name.startswith("a2v_key"):
        return "rope_a2v_k", rope_time_only(torch.arange(tokens), width)
    return ("rope_a2v_q" if name.startswith("a2v") else "rope_v2a_k"), rope_3d(torch.zeros(1), *sizes[-2:], width)


def test_rotary_embedding_turns_as_the_releases(golden, components, rotation):
    want = components.data[f"rope/{rotation}"]
    width, name = rotation.split("/")
    source, table = rotation_table(name, int(width), want.shape[1])

    def compute(seeded):
        return {"rotated": apply_rope(seeded(f"input.{source}", want.shape), table)}

    assert nearest(golden, compute, {"rotated": want}) <= ROUNDING


def test_time_features_are_the_releases(components, sinusoid_dim):
    times = torch.tensor(components.info["time_sinusoid"]["t"])
    got = sinusoid(times, int(sinusoid_dim))
    torch.testing.assert_close(got, components.data[f"time_sinusoid/{sinusoid_dim}"], atol=ROUNDING, rtol=0)


# Small parts of the network.


def test_an_interaction_alone_gives_the_releases_mask_and_updates(golden, components):
    part = next(name for name in components.info if name.startswith("interaction_"))
    size = components.info[part]
    video, audio = (
        BranchConfig(size[f"{kind}_dim"], 1, size[f"{way}_heads"]) for kind, way in (("video", "a2v"), ("audio", "v2a"))
    )
    config = ModelConfig(video, audio, patch_size=1)
    a2v, v2a = AudioToVideoAttention(config, TORCH), VideoToAudioAttention(config, TORCH)
    grid = (size["latents"], *size["grid"])

    def compute(seeded):
        for way, module in (("a2v", a2v), ("v2a", v2a)):
            shapes = size[f"{way}_parameters"]
            state = {name.removeprefix(f"comp.{way}."): seeded(name, shape) for name, shape in shapes.items()}
            module.load_state_dict(state, assign=True)
        inputs = {key: seeded(name, shape) for key, (name, shape) in size["inputs"].items()}
        geometry = build_geometry(config, grid, size["audio_tokens"], inputs["video"])
        with torch.no_grad():
            mask = a2v.mask_head(inputs["video"], inputs["time_embedding_per_video_token"])
            return {
                "mask": mask.unflatten(1, (grid[0], -1))[0, :, :, 0],
                "a2v_output": a2v(inputs["video"], inputs["audio"], mask, geometry),
                "v2a_output": v2a(inputs["audio"], inputs["video"], mask, geometry),
            }

    assert nearest(golden, compute, components.under(f"{part}/")) <= FLOAT32


def test_the_speech_text_encoder_gives_the_releases_features(golden, components, speech_text):
    ids = torch.tensor([components.info["text_encoder"][speech_text]])
    network = opened(golden, "forward_f32")
    encoder = SpeechTextEncoder(network.config().text, TORCH)

    def compute(seeded):
        names = {name: shape for name, shape in network.shapes.items() if name.startswith("text_embedding.")}
        state = {name.removeprefix("text_embedding."): seeded(name, shape) for name, shape in names.items()}
        encoder.load_state_dict(state)
        with torch.no_grad():
            return {"features": encoder(ids, torch.float32)[0]}

    assert nearest(golden, compute, {"features": components.data[f"text_encoder/{speech_text}"]}) <= FLOAT32


def test_character_positions_are_the_releases_table(components):
    for name, want in components.under("text_encoder_stage/position_table_first_").items():
        got = sinusoid(torch.arange(int(name)), want.shape[1])
        assert relative_error(got, want) <= ROUNDING  # the release's angles are float32: single entries are 3e-6 off


# The schedule.


def test_noise_levels_and_step_sizes_are_the_releases(components, schedule):
    table = components.info["schedule"][schedule]
    dtype = torch.bfloat16 if schedule == "bf16" else torch.float32
    sigmas = release_sigmas(len(table["dt"]), 5.0, dtype)
    assert relative_error(sigmas * 1000, torch.tensor(table["t"])) <= ROUNDING
    # A step is a difference of numbers near 1, and the release rounds a bfloat16 step once more.
    rounding = {"atol": 2.5e-7, "rtol": 0} if dtype is torch.float32 else {"atol": 0, "rtol": 2**-8}
    torch.testing.assert_close(sigmas[:-1] - sigmas[1:], torch.tensor(table["dt"]), **rounding)


class Listener:
    """Stands in for the network: notes how it is called and predicts nothing."""

    def __init__(self):
        self.calls = []
        self.patch_embedding = torch.nn.Linear(1, 1)

    def __call__(self, video, audio, *rest):
        self.calls.append(call_of((video, audio, *rest)))
        return JointOutput(torch.zeros_like(video), torch.zeros_like(audio), None)


def test_every_pass_of_a_task_has_the_releases_switches(components, switch_task):
    table = components.info["schedule"]["switches"][switch_task]
    steps = 1 + max(max(numbers_in(name)) for name in table if name.startswith("null_steps"))

    def wanted(switches):
        return Call.recorded({"t": 0, "text_ids_len": 1, **switches})

    null = {}
    for name, switches in table.items():
        if match := re.fullmatch(r"null_steps_(\d+)_to_(\d+)", name):
            null |= dict.fromkeys(range(int(match[1]), int(match[2]) + 1), wanted(switches))
    cond, late = wanted(table["cond"]), null[steps - 1]
    conditions = Conditions(torch.zeros(1, 1, 1), torch.zeros(1, 1, dtype=torch.long), interaction=cond.interaction)
    noise = torch.zeros(1, 1, 2, 1, 1), torch.zeros(1, 3, 1)
    sigmas = release_sigmas(steps)
    plan = GuidancePlan.of(GuidanceConfig(modality_aware_share=0.5, skip_layer=late.skip_layer), sigmas)
    listener = Listener()
    denoiser = Denoiser(
        listener, conditions, replace(conditions, interaction=late.interaction), keep_nothing(*noise), plan
    )
    generate(denoiser, noise, sigmas)
    for step in range(steps):
        for call, want in zip(listener.calls[2 * step : 2 * step + 2], (cond, null[step]), strict=True):
            assert (call.interaction, call.skip_layer) == (want.interaction, want.skip_layer), step
    assert null[0].interaction == interaction_of(0, 0)
    assert beyond({"calls": abs(len(listener.calls) - 2 * steps)}, 0) == {}
