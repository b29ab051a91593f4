"""A finished clip whose weak spans are sampled anew."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..uniavgen_core.evaluation.span_plot import RatedClip, Retake, draw_retakes
from ..uniavgen_core.evaluation.span_scores import score_spans, weak_spans
from ..uniavgen_core.media.audio.sound import Sound
from ..uniavgen_core.media.time_spans import Spans
from .host.conditioning.pass_settings import set_pass
from .host.media.source_media import SourceMedia, SourceMediaType
from .host.media.vae_sockets import links_error
from .host.notices import UI_KEY, show_progress, with_notices
from .host.sampling.joint_latent import masks_of
from .host.tasks.finished_clip import FinishedClip, clip_of_latent, clip_of_video
from .host.tasks.keep_spans import directions_of
from .rated_sampling import TakeSampler, VAEs, make_take_sampler, picture_bytes, rated_inputs, transcript_of
from .sampling_widgets import CUSTOM, guidance_inputs, preset_input, schedule_inputs
from .sockets import aliases, float_input, latent_output, seed_input

BOTH, VIDEO, AUDIO = "video_and_audio", "video", "audio"
NOTHING_FREE = (
    "The weak spans hold only your own media, which is kept, so nothing was sampled. To change a video of "
    "your own, connect it to 'video'."
)

Chosen = Sequence[tuple[Retake, dict | None]]
"""Weak spans of a clip, and for each the LATENT of the take that replaces it, None where the clip's own stays."""


class RetakeNode(io.ComfyNode):
    """Finds the weak spans of a clip and samples them anew."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenRetake",
            display_name="UniAVGen Retake",
            category="UniAVGen/sampling",
            search_aliases=aliases("redo, fix lip sync, regenerate part, repair video, 重新生成, 修复口型"),
            description="Rates a finished clip second by second, samples its weak spans again and keeps a new take "
            "where it is rated higher. The rest stays as it is.",
            inputs=[
                *rated_inputs("The finished clip; of a batch, the first. With a video connected, its length and size."),
                SourceMediaType.Input(
                    "source_media",
                    optional=True,
                    tooltip="From 'UniAVGen Task' or 'UniAVGen Keep', if the clip has it.",
                ),
                io.Video.Input("video", optional=True, tooltip="A finished video, in place of the latent's clip."),
                io.Audio.Input("audio", optional=True, tooltip="Audio in place of the video's own."),
                float_input(
                    "threshold",
                    default=0.2,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="A span is weak if its score falls below this value.",
                ),
                io.Int.Input("takes", default=2, min=1, max=64, tooltip="New takes: seed, seed + 1, and so on."),
                io.Combo.Input(
                    "regenerate", options=[BOTH, VIDEO, AUDIO], tooltip="What is sampled again in a weak span."
                ),
                seed_input(),
                preset_input(),
                *schedule_inputs(),
                *guidance_inputs(),
            ],
            outputs=[
                latent_output(),
                SourceMediaType.Output(
                    display_name="source_media",
                    tooltip="For 'UniAVGen Decode', which restores all that was kept, bit for bit, and for 'UniAVGen "
                    "Save Video'.",
                ),
                io.Image.Output(display_name="plot", tooltip="Score over time, before and after."),
            ],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, input_types: dict) -> bool | str:
        return links_error(cls, input_types) or True

    @classmethod
    def execute(
        cls, model, positive, negative, latent, video_vae, audio_vae, threshold, takes, seed, steps, shift,
        regenerate=BOTH, preset=CUSTOM, source_media=None, video=None, audio=None, **guidance,
    ) -> io.NodeOutput:  # fmt: skip
        widgets = (preset, (steps, shift), guidance)
        make_take_sampler((model, positive, negative), *widgets)  # refuses another model before the long work
        vaes, transcript = VAEs(video_vae, audio_vae), transcript_of(positive)
        clip, notices = open_clip(latent, vaes, source_media, video, audio)
        weak = WeakClip.of(clip.locking(regenerate == AUDIO, regenerate == VIDEO), vaes, transcript, threshold)
        opened = weak.clip.opened(weak.spans)
        is_free = any(bool(torch.any(mask)) for mask in masks_of(opened))
        chosen = [(one, None) for one in weak.retakes]
        if weak.spans and is_free:
            positive = set_pass(positive, interaction=directions_of(opened))
            sampler = make_take_sampler((model, positive, negative), *widgets)
            chosen = weak.choose(opened, sampler, range(seed, seed + takes))
        elif weak.spans:
            notices = [*notices, NOTHING_FREE]
        return weak.finished(chosen, threshold, notices)


def open_clip(
    latent: dict, vaes: VAEs, source_media: SourceMedia | None, video: Any, audio: dict | None
) -> tuple[FinishedClip, list[str]]:
    """The finished clip that is connected, and notices.

    Args:
        latent: Joint LATENT.
        vaes: VAEs of the clip.
        source_media: The user's own parts of the latent's clip, or None.
        video: VIDEO in the place of the latent's clip, or None.
        audio: AUDIO in the place of the video's own, or None.

    Raises:
        ValueError: If inputs exclude each other, or the video has no sound.
    """
    if video is None and audio is None:
        return clip_of_latent(latent, source_media, vaes.decode), []
    if video is None or source_media is not None:
        raise ValueError(
            "'video' is a finished clip that takes the place of the latent's: connect 'source_media' only without it, "
            "and 'audio' only with it."
        )
    return clip_of_video(latent, vaes.video, video, audio)


@dataclass(frozen=True)
class WeakClip:
    """A finished clip and its weak spans.

    Attributes:
        clip: The clip.
        vaes: Its VAEs.
        transcript: What should be said; empty if that is not known.
        before: The clip with its scores.
        spans: Its weak spans, seconds.
    """

    clip: FinishedClip
    vaes: VAEs
    transcript: str
    before: RatedClip
    spans: Spans

    @classmethod
    def of(cls, clip: FinishedClip, vaes: VAEs, transcript: str, threshold: float) -> "WeakClip":
        """Rate a clip.

        Args:
            clip: The clip.
            vaes: Its VAEs.
            transcript: What should be said; empty if that is not known.
            threshold: Score under which a span is weak.
        """
        before = rate_clip(clip.frames, float(clip.media.source.fps), clip.sound, transcript)
        return cls(clip, vaes, transcript, before, weak_spans(before.scores, threshold))

    @property
    def retakes(self) -> list[Retake]:
        """Weak spans without takes."""
        scores = self.before.scores
        return [Retake(*pair, scores.weakest(*pair), scores.mean(*pair)) for pair in self.spans.pairs]

    def choose(self, opened: dict, sampler: TakeSampler, seeds: Sequence[int]) -> Chosen:
        """Sample the weak spans with several seeds, and choose a take for each.

        Args:
            opened: LATENT in which they are generated.
            sampler: Sampler of takes.
            seeds: Seeds of the takes.

        Returns:
            For each weak span the best take, and its LATENT, None if the clip's own is rated as high.
        """
        chosen: list[tuple[Retake, dict | None]] = [(one, None) for one in self.retakes]
        for number, seed in enumerate(seeds, 1):
            sampled = sampler.sample(opened, seed, number, len(seeds))
            scores = self.rated(sampled, self.spans).scores
            for place, (one, _) in enumerate(chosen):
                score = scores.mean(one.start, one.stop)
                if one.after is None or score > one.after:
                    is_better = score > one.before
                    better = replace(one, after=score, seed=seed if is_better else None)
                    chosen[place] = (better, sampled if is_better else None)
        return chosen

    def rated(self, latent: dict, spans: Spans) -> RatedClip:
        """Rate a LATENT with the clip's own frames and sound outside of spans that were sampled anew."""
        frames, fps, sound = self.clip.keeping(spans).restore(*self.vaes.decode(latent))
        return rate_clip(frames, fps, sound, self.transcript)

    def finished(self, chosen: Chosen, threshold: float, notices: list[str]) -> io.NodeOutput:
        """Output of the node.

        Args:
            chosen: Result of ``choose``.
            threshold: Score under which a span is weak.
            notices: Notices for the user.
        """
        takes = [(Spans(((one.start, one.stop),)), sampled) for one, sampled in chosen if sampled is not None]
        replaced = Spans(tuple(pair for spans, _ in takes for pair in spans.pairs))
        latent, retakes = self.clip.with_takes(takes), [one for one, _ in chosen]
        after = self.rated(latent, replaced) if takes else self.before
        plot = torch.from_numpy(draw_retakes(self.before, after, retakes, threshold).copy()).float()[None] / 255
        lines = [one.in_words for one in retakes] or [f"No span has a score under {threshold:g}."]
        output = with_notices(notices, latent, self.clip.keeping(replaced), plot)
        text = "\n".join(lines)
        show_progress(text)  # the editor shows the text of ``ui`` on its own nodes only
        preview = {**ui.PreviewText(text).as_dict(), **ui.PreviewImage(plot, cls=RetakeNode).as_dict()}
        output.ui = {**preview, UI_KEY: notices}
        return output


def rate_clip(frames: Tensor, fps: float, sound: Sound, transcript: str) -> RatedClip:
    """Score a clip around each frame.

    Args:
        frames: Pictures, (F, H, W, 3) in [0, 1].
        fps: Frames per second.
        sound: Its sound.
        transcript: What should be said; empty if that is not known.
    """
    pictures = picture_bytes(frames)
    waveform = sound.waveform.mean(0).cpu().float()
    return RatedClip(pictures, score_spans(pictures, fps, (waveform, sound.sample_rate), len(transcript)))
