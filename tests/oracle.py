"""The network with nothing shared: what the efficient form is held against, in results and in cost.

Every audio token gets a context of its own, every latent a window of its own, all of them are projected on their own,
and time is embedded once per video token. Both directions are computed even where their update is dropped, as the
inference release does. Only the weights are taken from ``uniavgen_core``; index arithmetic, rotation and attention are
written anew, from the model's description.

Dimension key: B batch, T video latents, N tokens per latent, S audio tokens, W window slots, H heads, P pairs.
"""

import math
from dataclasses import dataclass, replace
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from einops import rearrange, repeat

from uniavgen_core.config import Alignment, Placement, Position
from uniavgen_core.model.branch import embed_times
from uniavgen_core.model.joint import JointModel
from uniavgen_core.model.video_branch import VideoBranch

RMS_EPS = 1e-6


def frames_of(latents):
    return 1 + 4 * (latents - 1)


def latent_of_frames(latents):
    """Latent that holds each video frame: [0, 1, 1, 1, 1, 2, ...]."""
    return [0] + [1 + i // 4 for i in range(4 * (latents - 1))]


# Which audio tokens a latent attends to.


def own_span(latent, ratio):
    """Tokens that sound while a latent shows, as real numbers (first, end)."""
    first, count = (0, 1) if latent == 0 else (4 * latent - 3, 4)
    return first * ratio, (first + count) * ratio


def window(latent, tokens, latents, half):
    """First and end of the tokens a latent hears before all windows are made equally long."""
    ratio = tokens / frames_of(latents)
    begin, end = own_span(latent, ratio)
    before, after = math.floor(half * ratio), math.ceil(half * ratio)
    if latent == 0 and half:
        return -before, 1 + after  # the release counts the first frame as one token
    return math.floor(begin) - before, math.ceil(end) + after


def audio_windows(tokens, latents, half):
    """Token of every window slot, T lists."""
    bounds = [window(latent, tokens, latents, half) for latent in range(latents)]
    length = max(end - begin for begin, end in bounds[1:] or bounds)
    rows = []
    for begin, end in bounds:
        missing = length - (end - begin)
        left = missing if begin < 0 else 0 if end >= tokens else missing // 2
        begin, end = begin - left, end + missing - left
        rows.append([max(0, min(tokens - 1, j)) for j in range(begin, end)])
    return rows


# Which latents an audio token attends to.


def attended_latents(token, tokens, latents, variant):
    """Pairs (latent, weight) that one audio token attends to."""
    frames, place = frames_of(latents), latent_of_frames(latents)
    dtype = torch.bfloat16 if variant.bfloat16_positions else torch.float32
    if variant.v2a_alignment is Alignment.TEMPORAL:
        position = torch.tensor(token, dtype=dtype, device="cpu") / (tokens / frames)
        return [(place[min(frames - 1, math.floor(position))], 1.0)]
    if variant.ramp_over_latent:
        count, place, dtype = latents, list(range(latents)), torch.float32
    else:
        count = frames
    position = torch.tensor(token, dtype=dtype, device="cpu") / (tokens / count)
    low = min(math.floor(position), count - 1)
    high = min(low + 1, count - 1)
    pairs = [(place[low], float(1 - (position - low))), (place[high], float(1 - (high - position)))]
    total = 1.0 if variant.doubled_tail else sum(weight for _, weight in pairs)
    return [(latent, weight / total) for latent, weight in pairs]


# Rotation and attention.


def rotate(x, positions, split):
    """Rotate neighbouring channels as complex numbers.

    Args:
        x: (B, H, M, 2 P).
        positions: One tensor of positions (M,) per axis.
        split: Pairs of each axis; a frequency falls from 1 over the pairs of its axis.
    """
    angles = [
        torch.outer(place.double(), 10_000 ** -(torch.arange(pairs, dtype=torch.float64) / pairs).to(place.device))
        for place, pairs in zip(positions, split, strict=True)
    ]
    angle = torch.cat(angles, dim=1)
    cos, sin = angle.cos().float(), angle.sin().float()  # the tables are float32 by contract
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


def three_way(width):
    third = (width // 2) // 3
    return (width // 2 - 2 * third, third, third)


def rotate_in_time(x, times):
    """Rotate the pairs of the time axis alone, by the frequencies of a rotation over all pairs."""
    pairs = x.shape[-1] // 2
    time_pairs = three_way(x.shape[-1])[0]
    rotated = rotate(x, (times,), (pairs,))
    return torch.cat((rotated[..., : 2 * time_pairs], x[..., 2 * time_pairs :]), dim=-1)


def rotate_on_grid(x, times, grid):
    """Rotate (B, H, T' * rows * columns, width) queries or keys by time, row and column."""
    rows, columns = grid
    count = len(times) * rows * columns
    index = torch.arange(count, device=x.device)
    times = torch.as_tensor(times, dtype=torch.float64, device=x.device)
    place = (times[index // (rows * columns)], index // columns % rows, index % columns)
    return rotate(x, place, three_way(x.shape[-1]))


def heads_of(x, heads):
    return rearrange(x, "b m (h d) -> b h m d", h=heads)


def normalised(norm, x):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + RMS_EPS) * norm.weight


def scaled_attention(q, k, v):
    weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
    return rearrange(weights @ v, "b h m d -> b m (h d)")


def linear(layer, x):
    return F.linear(x, layer.weight, layer.bias)


# The two directions.


def audio_to_video(module, video, audio, mask, grid, variant):
    """Update of the video tokens (B, T, N, D) by the audio tokens (B, S, E), under the face mask (B, T, N, 1)."""
    batch, latents, tokens = video.shape[0], video.shape[1], audio.shape[1]
    q, centres = heads_of(normalised(module.norm_q, linear(module.q, video.flatten(0, 1))), module.heads), [0.0]
    if variant.a2v_alignment is Alignment.GLOBAL:
        source = repeat(audio, "b s e -> (b t) s e", t=latents)
        ratio = tokens / frames_of(latents)
        spans = [(math.floor(a), math.ceil(b)) for a, b in (own_span(t, ratio) for t in range(latents))]
        centres = [(a + b) / 2 for a, b in spans]
        q = rearrange(q, "(b t) h n d -> b h (t n) d", b=batch)
        q = rearrange(rotate_on_grid(q, centres, grid), "b h (t n) d -> (b t) h n d", t=latents)
    else:
        half = variant.half_window_frames if variant.a2v_alignment is Alignment.ASYMMETRIC else 0
        index = torch.tensor(audio_windows(tokens, latents, half), device=audio.device)
        source = audio[:, index].flatten(0, 1)
        q = rotate_on_grid(q, centres, grid)
    k = heads_of(normalised(module.norm_k, linear(module.k, source)), module.heads)
    k = rotate_in_time(k, torch.arange(k.shape[2], device=k.device))
    result = scaled_attention(q, k, heads_of(linear(module.v, source), module.heads)).unflatten(0, (batch, latents))
    if variant.residual_in_output:
        result = result + video
    return linear(module.o, result) * mask if variant.mask_after_output else linear(module.o, result * mask)


def contexts_of_tokens(faces, tokens, variant):
    """Every audio token's own picture, (B, S, N, D), from latents (B, T, N, D)."""
    seen = [attended_latents(token, tokens, faces.shape[1], variant) for token in range(tokens)]
    contexts = 0
    for number in range(len(seen[0])):
        latent = torch.tensor([pairs[number][0] for pairs in seen], device=faces.device)
        weight = torch.tensor([pairs[number][1] for pairs in seen], device=faces.device, dtype=faces.dtype)
        contexts = contexts + faces[:, latent] * weight[:, None, None]
    return contexts


def video_to_audio(module, audio, video, mask, grid, variant):
    """Update of the audio tokens (B, S, E) by the video tokens (B, T, N, D), under the face mask (B, T, N, 1)."""
    batch, tokens, latents = audio.shape[0], audio.shape[1], video.shape[1]
    faces = video * mask
    q = heads_of(normalised(module.norm_q, linear(module.q, audio)), module.heads)
    if variant.v2a_alignment is Alignment.GLOBAL:
        seconds = torch.arange(tokens, device=q.device) * (latents / tokens)
        q, context, times = rotate_in_time(q, seconds), faces.flatten(1, 2), list(range(latents))
    else:
        q = rearrange(q, "b h s d -> (b s) h 1 d")
        context, times = contexts_of_tokens(faces, tokens, variant).flatten(0, 1), [0.0]
    k = heads_of(normalised(module.norm_k, linear(module.k, context)), module.heads)
    result = scaled_attention(q, rotate_on_grid(k, times, grid), heads_of(linear(module.v, context), module.heads))
    result = result.reshape(batch, tokens, -1)
    return linear(module.o, result + audio if variant.residual_in_output else result)


# A block, part by part.


def layers_that_exchange(config):
    """Layers with an interaction, in the order of their modules."""
    every, count = list(range(config.num_layers)), config.num_interactions
    return {
        Placement.INTERLEAVED: every[::2][:count],
        Placement.FIRST: every[:count],
        Placement.LAST: every[len(every) - count :],
    }[config.placement]


def after_part(block, stream, part, options):
    """The residual stream after one part of a block: 0 self-attention, 1 text, 2 feed-forward."""
    x, vectors = stream.tokens, (block.modulation[:, None] + stream.modulation).unbind(2)
    if part == 1:
        text = (stream.text, stream.text_ropes)
        return x + block.cross_attn(block.norm3(x), *text, mask=stream.text_mask, options=options)
    shift, scale, gate = vectors[:3] if part == 0 else vectors[3:]
    source = F.layer_norm(x, x.shape[-1:], eps=RMS_EPS) * (1 + scale) + shift
    if part == 0:
        return x + gate * block.self_attn(source, source, (stream.rope, stream.rope), options=options)
    return x + gate * block.ffn(source)


@dataclass(frozen=True)
class NaiveVideoBranch(VideoBranch):
    """The video branch, which embeds time once per token."""

    def embed(self, video, times, text, reference_image):
        stream = super().embed(video, times, text, reference_image)
        if reference_image is not None:
            times = torch.cat((torch.zeros_like(times[:, :1]), times), dim=1)
        per_token = times.repeat_interleave(stream.tokens.shape[1] // times.shape[1], dim=1)
        temb, modulation = embed_times(
            per_token, self.config.time_dim, self.time_embedding, self.time_projection, video.dtype
        )
        return replace(stream, temb=temb, modulation=modulation)


class NaiveModel(JointModel):
    """The joint network with blocks, interaction and time embedding as above; same weights, same results."""

    @property
    def video_branch(self):
        return NaiveVideoBranch(**vars(super().video_branch))

    def run_layer(self, layer, state, interaction, options=None):
        exchanging = layers_that_exchange(self.config)
        position = self.config.variant.position
        for part, place in enumerate((Position.BEFORE_CROSS_ATTENTION, Position.BEFORE_FFN, Position.AFTER_BLOCK)):
            streams = (self.blocks, state.video), (self.audio_blocks, state.audio)
            state = state.with_tokens(*(after_part(blocks[layer], stream, part, options) for blocks, stream in streams))
            if place is position and layer in exchanging:
                state = self.interact(exchanging.index(layer), interaction, options, state)
        return state

    def geometry_of(self, video, audio):  # noqa: ARG002
        size = self.config.patch_size
        return SimpleNamespace(num_latents=video.shape[2], grid=(video.shape[3] // size, video.shape[4] // size))

    def interact(self, module, interaction, options, state):  # noqa: ARG002
        latents, grid = state.geometry.num_latents, state.geometry.grid
        a2v, v2a, variant = self.a2v_blocks[module], self.v2a_blocks[module], self.config.variant
        image, clip = state.video.tokens.tensor_split([state.video.num_reference], dim=1)
        voice, audio = state.audio.tokens.tensor_split([state.audio.num_reference], dim=1)
        mask = a2v.mask_head(clip, state.video.temb[:, -clip.shape[1] :])
        if not variant.face_modulation:
            mask = torch.ones(*clip.shape[:2], 1, dtype=clip.dtype, device=clip.device)
        video, face = (rearrange(x, "b (t n) d -> b t n d", t=latents) for x in (clip, mask))
        to_video = audio_to_video(a2v, video, audio, face, grid, variant)
        to_audio = video_to_audio(v2a, audio, video, face, grid, variant)
        new_video = video + to_video * state.video_noisy[..., None] * float(interaction.audio_to_video)
        new_audio = audio + to_audio * state.audio_noisy * float(interaction.video_to_audio)
        state = state.with_tokens(torch.cat((image, new_video.flatten(1, 2)), 1), torch.cat((voice, new_audio), 1))
        return replace(state, face_masks=(*state.face_masks, face.squeeze(-1)))
