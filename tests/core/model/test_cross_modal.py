"""The interaction: equal to the naive form, and what depends on what, shown by gradients."""

from dataclasses import replace

import pytest
import torch

from tests.oracle import NaiveModel
from tests.toys import TINY, Clip, random_model, with_variant
from uniavgen_core.config import Alignment, Interaction, Placement, Position
from uniavgen_core.layers.backend import TORCH, Backend
from uniavgen_core.model.alignment import audio_windows, latent_weights
from uniavgen_core.model.alignment_tables import build_geometry
from uniavgen_core.model.joint import JointModel

VARIANTS = {
    "release": {},
    "release in bfloat16": {"bfloat16_positions": True},
    "single tail": {"doubled_tail": False},
    "paper": {
        "residual_in_output": True,
        "mask_after_output": True,
        "timed_mask_head": False,
        "ramp_over_latent": True,
        "doubled_tail": False,
    },
    "paper's ramp, doubled tail": {"ramp_over_latent": True},
    "residual alone": {"residual_in_output": True},
    "mask after the output": {"mask_after_output": True},
    "narrow window": {"half_window_frames": 0},
    "wide window": {"half_window_frames": 3},
    **{
        f"{a2v.name} to video, {v2a.name} to audio".lower(): {"a2v_alignment": a2v, "v2a_alignment": v2a}
        for a2v in Alignment
        for v2a in Alignment
    },
    "no face modulation": {"face_modulation": False},
    "paper without face modulation": {"face_modulation": False, "mask_after_output": True, "residual_in_output": True},
    "before the cross-attention": {"position": Position.BEFORE_CROSS_ATTENTION},
    "before the feed-forward": {"position": Position.BEFORE_FFN},
}
ROWS, COLUMNS = 2, 3
TOKENS = ROWS * COLUMNS
AUDIO_TOKENS, LATENTS = 40, 3


def agree(clip, tolerance):
    got, want = (clip.run(random_model(clip.config, form, clip.dtype)) for form in (JointModel, NaiveModel))
    for name in ("video", "audio", "face_masks"):
        a, b = getattr(got, name), getattr(want, name)
        assert ((a - b).norm() / b.norm()).item() < tolerance, name


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("tokens", "latents"), [(40, 3), (13, 2)])
def test_sharing_keys_changes_nothing(variant, tokens, latents):
    config = with_variant(**VARIANTS[variant])
    agree(Clip(batch=2, tokens=tokens, latents=latents, voice=5, config=config), 1e-10)


@pytest.mark.parametrize("placement", Placement)
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("position", Position)
def test_modules_serve_their_layers_at_their_place(placement, count, position):
    config = replace(with_variant(position=position), placement=placement, num_interactions=count)
    agree(Clip(batch=2, tokens=26, latents=2, voice=3, config=config), 1e-10)


def test_with_a_module_for_every_layer_all_exchange():
    config = replace(TINY, placement=Placement.FIRST, num_interactions=TINY.num_layers)
    agree(Clip(batch=2, tokens=26, latents=2, config=config), 1e-10)
    assert [config.interaction_of(layer) for layer in range(3)] == [0, 1, 2]


def test_sharing_keys_changes_nothing_in_float32():
    agree(Clip(batch=2, tokens=101, latents=5, voice=5, dtype=torch.float32), 1e-5)


@pytest.mark.parametrize("interaction", Interaction)
def test_sharing_keys_changes_nothing_with_kept_parts_and_any_direction(interaction):
    kept = torch.tensor([[True, False, False], [True, True, False]]), torch.arange(40).expand(2, -1) < 13
    agree(Clip(batch=2, tokens=40, latents=3, kept=kept, interaction=interaction, skip_layer=1), 1e-10)


# What depends on what.


@pytest.fixture
def parts():
    """Both modules, a geometry, and inputs that remember their gradients."""
    model = random_model()
    geometry = build_geometry(TINY, (LATENTS, ROWS, COLUMNS), AUDIO_TOKENS, torch.empty(0, dtype=torch.float64))
    generator = torch.Generator().manual_seed(3)
    shapes = (1, LATENTS * TOKENS, TINY.video.dim), (1, AUDIO_TOKENS, TINY.audio.dim), (1, LATENTS * TOKENS, 1)
    draws = [torch.rand(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes]
    return model.a2v_blocks[0], model.v2a_blocks[0], geometry, draws


def touched(tensor):
    """Places (B, M) along the sequence that have a gradient."""
    return set(tensor.grad.abs().sum(-1)[0].nonzero().flatten().tolist())


@pytest.mark.parametrize("latent", range(LATENTS))
def test_a_video_token_hears_its_latents_window_and_no_other_video_token(parts, latent):
    a2v, _, geometry, (video, audio, mask) = parts
    token = latent * TOKENS + 4
    a2v(video, audio, mask, geometry)[0, token].square().sum().backward()
    assert touched(audio) == set(audio_windows(AUDIO_TOKENS, LATENTS, TINY.variant).index[latent])
    assert touched(video) == {token}
    assert touched(mask) == {token}


@pytest.mark.parametrize("token", [0, 2, 5, 20, 24, 30, 39])
def test_an_audio_token_sees_all_of_its_latents_and_no_other_audio_token(parts, token):
    _, v2a, geometry, (video, audio, mask) = parts
    v2a(audio, video, mask, geometry)[0, token].square().sum().backward()
    latents = latent_weights(AUDIO_TOKENS, LATENTS, TINY.variant)[token]
    seen = {latent * TOKENS + place for latent in latents for place in range(TOKENS)}
    assert touched(video) == seen
    assert touched(mask) == seen
    assert touched(audio) == {token}


def test_outside_the_face_no_sound_arrives_but_the_bias_of_the_output_does(parts):
    a2v, _, geometry, (video, audio, mask) = parts
    mask = mask.detach().clone()
    mask[:, 7:] = 0
    added = a2v(video, audio, mask, geometry) - a2v.o.bias
    assert added[:, 7:].abs().max() < 1e-12
    assert added[:, :7].abs().max(-1).values.min() > 1e-3


def test_two_tracks_of_two_clips_add_up_each_in_its_own_clip_and_mask(parts):
    a2v, _, geometry, _ = parts
    generator = torch.Generator().manual_seed(4)
    shapes = (2, LATENTS * TOKENS, TINY.video.dim), (4, AUDIO_TOKENS, TINY.audio.dim), (2, LATENTS * TOKENS, 2)
    video, audio, mask = (torch.rand(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    together = a2v(video, audio, mask, geometry) - a2v.o.bias
    for clip in range(2):
        one = slice(clip, clip + 1)
        alone = (
            a2v(video[one], audio[[2 * clip + track]], mask[one, :, track : track + 1], geometry) - a2v.o.bias
            for track in range(2)
        )
        torch.testing.assert_close(together[one], sum(alone))


def test_with_the_mask_after_the_output_the_bias_stays_in_the_face_too(parts):
    _, _, geometry, (video, audio, mask) = parts
    a2v = random_model(with_variant(mask_after_output=True)).a2v_blocks[0]
    mask = mask.detach().clone()
    mask[:, 7:] = 0
    assert a2v(video, audio, mask, geometry)[:, 7:].abs().max() == 0


def test_faceless_video_shows_an_audio_token_only_biases(parts):
    _, v2a, geometry, (video, audio, mask) = parts
    added = v2a(audio, video, torch.zeros_like(mask), geometry)
    torch.testing.assert_close(added, v2a.o(v2a.v.bias).expand_as(added))


def test_one_audio_token_agrees_with_torchs_attention(parts):
    """Attention over one latent, without rotation: the released keys of torch's own layer."""
    _, v2a, geometry, (video, audio, _) = parts
    token, latent = 24, 2
    assert latent_weights(AUDIO_TOKENS, LATENTS, TINY.variant)[token] == {latent: 1.0}
    got = v2a(audio, video, torch.ones(1, LATENTS * TOKENS, 1, dtype=torch.float64), geometry)[0, token]
    source = video[:, latent * TOKENS : (latent + 1) * TOKENS]
    q, k = v2a.norm_q(v2a.q(audio[:, token : token + 1])), v2a.norm_k(v2a.k(source))
    matrices = geometry.v2a_key_rope.double()
    turned = (matrices @ k.unflatten(-1, (v2a.heads, -1, 2))[..., None]).flatten(2)
    torch_attention = torch.nn.MultiheadAttention(TINY.audio.dim, v2a.heads, batch_first=True, dtype=torch.float64)
    eye, zero = torch.eye(TINY.audio.dim, dtype=torch.float64), torch.zeros(3 * TINY.audio.dim, dtype=torch.float64)
    torch_attention.load_state_dict(
        {"in_proj_weight": eye.repeat(3, 1), "in_proj_bias": zero}
        | {f"out_proj.{name}": value for name, value in v2a.o.state_dict().items()}
    )
    torch.testing.assert_close(torch_attention(q, turned, v2a.v(source))[0][0, 0], got)


def test_options_of_the_host_reach_every_attention():
    seen = []

    def attention(q, k, v, heads, mask=None, options=None):
        seen.append(options)
        return TORCH.attention(q, k, v, heads, mask=mask)

    model = random_model(backend=Backend(attention=attention))
    clip = Clip()
    model(conditions=clip.conditions, **clip.inputs, options="host")
    assert set(seen) == {"host"}
    # Text and self-attention of both branches; windows, and tokens that see one latent. Mixes are written out.
    assert len(seen) == 4 * TINY.num_layers + 2 * TINY.num_interactions
