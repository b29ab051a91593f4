"""The joint network with its sequences split over processes, for sampling.

Every process has all weights. It embeds the whole clip, keeps its own latents and mel frames, and runs the network's
own layers on them. Self-attention of both branches meets through ``UlyssesAttention``; attention to text needs no other
process; before an interaction each process fetches the few mel frames and latents beside its own. The velocities are
put together on every process.
Dimension key: B batch, K audio tracks per clip, T video latents, N tokens per latent, S mel frames, D width.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..config import BranchConfig, ModelConfig
from ..layers.backend import TORCH, Backend
from ..layers.uninitialized import uninitialized
from ..model.alignment_tables import Geometry, query_tables
from ..model.branch import Stream
from ..model.joint import JointModel
from ..model.joint_state import JointOutput, JointState
from .sequence_group import SequenceGroup, Span, length
from .sequence_shares import SequencePlan, Shares, plan_sequences
from .ulysses import UlyssesAttention


class SplitJointModel(JointModel):
    """The joint network on one of several processes; all of them call it with the same inputs.

    Raises:
        ValueError: If a branch has fewer heads than there are processes.
    """

    def __init__(self, config: ModelConfig, group: SequenceGroup, backend: Backend = TORCH) -> None:
        super().__init__(config, backend)
        self.group = group
        self.plan: SequencePlan
        self.video_attention = _share_heads(self.blocks, config.video, group, "video")
        self.audio_attention = _share_heads(self.audio_blocks, config.audio, group, "audio")
        for a2v, v2a in zip(self.a2v_blocks, self.v2a_blocks, strict=True):
            a2v.register_forward_pre_hook(self._fetch_frames)
            v2a.register_forward_pre_hook(self._fetch_latents)

    @classmethod
    def of(cls, model: JointModel, group: SequenceGroup) -> "SplitJointModel":
        """The same network in this form; it shares the weights."""
        with uninitialized():
            split = cls(model.config, group)
        split.load_state_dict(model.state_dict(), assign=True)
        return split.eval()

    def forward(self, *args: Any, **kwargs: Any) -> JointOutput:
        """Predict the velocity of both modalities; arguments and result as of ``JointModel``.

        Raises:
            RuntimeError: If autograd records, since gradients do not pass from process to process.
            ValueError: If the clip has fewer latents than there are processes.
        """
        if torch.is_grad_enabled():
            raise RuntimeError("A network that is split over processes only samples; call it under torch.no_grad().")
        output = super().forward(*args, **kwargs)
        latents, frames = self.plan.video.clip, self.plan.audio.clip
        return JointOutput(
            video=self._whole(output.video, 2, latents),
            audio=self._whole(output.audio, 1, frames),
            face_masks=self._whole(output.face_masks, 2, latents),
        )

    def embed(self, *args: Any, **kwargs: Any) -> JointState:
        """Embed both modalities with their references, and keep this process's part; arguments as of ``JointModel``."""
        state = super().embed(*args, **kwargs)
        latents, frames = state.geometry.num_latents, state.audio.clip_tokens.shape[1]
        per_latent = state.video.clip_tokens.shape[1] // latents
        references = (state.video.num_reference // per_latent, state.audio.num_reference)
        self.plan = plan_sequences(self.config, latents, frames, references, self.group.size)
        self.video_attention.tokens = tuple(latents * per_latent for latents in self.plan.video.lengths())
        self.audio_attention.tokens = self.plan.audio.lengths()
        return part_of_state(state, self.plan, self.group.rank)

    def _fetch_frames(self, module: nn.Module, inputs: tuple) -> tuple:
        """Complete the inputs of an ``AudioToVideoAttention`` by the mel frames beside this process's own."""
        del module
        video, audio, *others = inputs
        audio = self.group.fetch(audio, 1, self.plan.audio.clip, self.plan.frames_needed)
        return video, audio, *others

    def _fetch_latents(self, module: nn.Module, inputs: tuple) -> tuple:
        """Complete the inputs of a ``VideoToAudioAttention`` by the latents beside this process's own."""
        del module
        audio, video, face_mask, geometry, options = inputs
        video, face_mask = (self._with_neighbours(x, geometry.num_latents) for x in (video, face_mask))
        num_latents = length(self.plan.latents_needed[self.group.rank])
        return audio, video, face_mask, replace(geometry, num_latents=num_latents), options

    def _with_neighbours(self, x: Tensor, num_latents: int) -> Tensor:
        """Rows of the latents that this process needs, from those of its own, (B, T * N, any)."""
        latents = x.unflatten(1, (num_latents, -1))
        return self.group.fetch(latents, 1, self.plan.video.clip, self.plan.latents_needed).flatten(1, 2)

    def _whole(self, x: Tensor, dim: int, owned: tuple[Span, ...]) -> Tensor:
        """All of a sequence whose parts the processes have."""
        return self.group.fetch(x, dim, owned, ((0, owned[-1][1]),) * self.group.size)


def _share_heads(blocks: nn.ModuleList, config: BranchConfig, group: SequenceGroup, branch: str) -> UlyssesAttention:
    """Put one attention that shares the heads into the self-attention of all blocks of a branch."""
    if config.num_heads < group.size:
        heads = f"{config.num_heads} attention head{'s' if config.num_heads > 1 else ''}"
        raise ValueError(
            f"The {branch} branch has {heads}, too few for {group.size} processes, because each computes whole heads. "
            f"Take at most {config.num_heads}."
        )
    layers: list[Any] = [block.self_attn for block in blocks]
    shared = UlyssesAttention(layers[0].attention, config.num_heads, group)
    for layer in layers:
        layer.attention = shared
    return shared


def part_of_state(state: JointState, plan: SequencePlan, rank: int) -> JointState:
    """One process's part of both streams, with the tables and masks that belong to it."""
    (start, stop), (first, last) = plan.video.clip[rank], plan.audio.clip[rank]
    per_latent = state.video_noisy.shape[1] // state.geometry.num_latents
    steering = state.steering
    return replace(
        state,
        video=_part_of_stream(state.video, plan.video, rank),
        audio=_part_of_stream(state.audio, plan.audio, rank),
        geometry=_part_of_geometry(state.geometry, plan, rank, like=state.audio.tokens),
        video_noisy=state.video_noisy[:, start * per_latent : stop * per_latent],
        audio_noisy=state.audio_noisy[:, first:last],
        steering=None if steering is None else replace(steering, mask=steering.mask[:, :, start:stop]),
    )


def _part_of_stream(stream: Stream, shares: Shares, rank: int) -> Stream:
    def part(x: Tensor) -> Tensor:
        return shares.take(x, rank)

    text_rope, places = stream.text_ropes[0], stream.places
    per_step = stream.tokens.shape[1] // sum(shares.lengths())
    return replace(
        stream,
        tokens=part(stream.tokens),
        # Vectors of K times are for the tokens of all processes.
        temb=part(stream.temb) if places is None else stream.temb,
        modulation=part(stream.modulation) if places is None else stream.modulation,
        rope=part(stream.rope),
        text_ropes=(None if text_rope is None else part(text_rope), stream.text_ropes[1]),
        num_reference=length(shares.reference[rank]) * per_step,
        places=None if places is None else part(places),
    )


def _part_of_geometry(geometry: Geometry, plan: SequencePlan, rank: int, like: Tensor) -> Geometry:
    """Tables whose rows are one process's own, and whose indices count from the first step that it has or needs."""
    (start, stop), (first, last) = plan.video.clip[rank], plan.audio.clip[rank]
    per_latent = geometry.a2v_query_rope.shape[1] // geometry.num_latents
    query_rope, tables = geometry.v2a_query_rope, (None, None, None)
    if plan.groups[rank]:
        tables = query_tables(plan.groups[rank], like)
    return replace(
        geometry,
        num_latents=stop - start,
        windows=geometry.windows[start:stop] - plan.frames_needed[rank][0],
        a2v_query_rope=geometry.a2v_query_rope[:, start * per_latent : stop * per_latent],
        singles=tables[0],
        pairs=tables[1],
        slot_of_token=tables[2],
        v2a_query_rope=None if query_rope is None else query_rope[:, first:last],
    )
