"""A video as long as its script."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import comfy.samplers
import folder_paths
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..uniavgen_core.config import GuidanceConfig
from ..uniavgen_core.shapes import FPS, SAMPLE_RATE
from ..uniavgen_core.text.transcript import prepare_transcript
from .empty_latent import LONGEST, SHORTEST
from .host.conditioning.spoken_texts import VOICE_TEXT, field_error, prepare_voice_text, transcript_error
from .host.long_video.segment_store import Segment, SegmentStore, key_of
from .host.long_video.segments import LongPlan, LongVideo, join, plan_segments
from .host.media.batch_notices import batch_notices
from .host.media.codec_sockets import (
    audio_codec_input,
    links_error,
    require_audio_codec,
    require_video_codec,
    video_codec_input,
)
from .host.media.drawn_pictures import photograph_notices
from .host.model.load_model import model_identity, require_uniavgen
from .host.model.training_range import SEGMENTS, training_range_notices, without_notices
from .host.notices import announce, show_progress, with_notices
from .host.sampling.guided_sampling import make_guider
from .host.sampling.live_preview import DEFAULT_EVERY, PreviewSettings
from .host.sampling.run_sampler import run_sampler
from .host.tasks.task_scene import Scene
from .host.tasks.task_setup import IMAGE, Prepared
from .samplers import (
    CUSTOM,
    SamplerSettings,
    choose_sampler,
    guidance_config,
    guidance_inputs,
    preset_input,
    schedule_inputs,
)
from .size_input import chosen_size, size_input

AS_NEEDED, FULL = "as the text needs", "full segments"
FOLDER = "uniavgen"
"""Within ComfyUI's output folder."""
CONTENT = "sound at the mel's level"
"""Version of the content of stored segments, a part of their key: earlier ones have clipped sound."""


class LongVideoNode(io.ComfyNode):
    """Makes a video as long as its script."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        seconds = {"min": SHORTEST, "max": LONGEST, "step": 0.0625, "round": 0.0001}
        return io.Schema(
            node_id="UniAVGenLongVideo",
            display_name="UniAVGen Long Video",
            category="UniAVGen/sampling",
            description="Speaks a whole script: plans segments, lets each go on from the last moments of the one "
            "before, and joins them. A stopped run keeps what is finished and goes on there.",
            inputs=[
                io.Model.Input("model"),
                io.Conditioning.Input("positive", tooltip="The caption; what is said comes from the script."),
                io.Conditioning.Input("negative"),
                video_codec_input(),
                audio_codec_input(),
                io.Image.Input("image", optional=True, tooltip="The person, in every segment."),
                io.Audio.Input(
                    "voice", optional=True, tooltip="1 to 10 s of the voice; without one, that of the first segment."
                ),
                io.String.Input(
                    "voice_text", default="", multiline=True, optional=True, tooltip="What the reference voice says."
                ),
                io.String.Input(
                    "script",
                    multiline=True,
                    default="hello happy robot\nred moon\nbye bye star",
                    tooltip="One transcript a line; what is too long for a segment is cut at ends of sentences.",
                ),
                size_input(),
                io.Float.Input(
                    "segment_seconds",
                    default=2.0625,
                    **seconds,
                    tooltip="Longest segment: what the model was trained at, 5.0625 for the release.",
                ),
                io.Float.Input(
                    "keep_seconds",
                    default=0.5625,
                    **seconds,
                    tooltip="How much of a segment the next one goes on from; 2.3125 for the release.",
                ),
                io.Combo.Input("length", options=[FULL, AS_NEEDED], tooltip="How long the segments are."),
                io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=True),
                *schedule_inputs(),
                *guidance_inputs(),
                preset_input("steps and shift"),
            ],
            outputs=[
                io.Image.Output(display_name="images"),
                io.Audio.Output(display_name="audio"),
                io.Float.Output(display_name="fps"),
                io.String.Output(display_name="segments", tooltip="What each segment says, a line each."),
            ],
        )

    @classmethod
    def validate_inputs(
        cls,
        input_types: dict | None = None,
        size: dict | None = None,
        script: str | None = None,
        voice_text: str | None = None,
    ) -> bool | str:
        del size  # ComfyUI hands over what a group's name stands for
        fault = None if script is None else transcript_error(script, field="script")
        return links_error(cls, input_types or {}) or fault or field_error(VOICE_TEXT, voice_text) or True

    @classmethod
    def execute(
        cls, model, positive, negative, video_codec, audio_codec, script, size, segment_seconds,
        keep_seconds, length, seed, steps, shift, image=None, voice=None, voice_text="", preset=CUSTOM, **guidance,
    ) -> io.NodeOutput:  # fmt: skip
        require_uniavgen(model)
        require_video_codec(video_codec)
        require_audio_codec(audio_codec)
        fault = transcript_error(script, field="script")  # a linked script is known only now
        if fault:
            raise ValueError(fault)
        scene = Scene(positive, negative, video_codec, chosen_size(size, segment_seconds))
        scene, cropped = scene.sized_for(image, IMAGE)
        text = model.model.diffusion_model.config.text
        prepared = prepare_transcript(script)
        texts = plan_segments(prepared.text, segment_seconds, keep_seconds, text)
        plan = LongPlan(texts, segment_seconds, keep_seconds, length == AS_NEEDED, seed)
        long = LongVideo(scene, image, plan, text)
        said = prepare_voice_text("" if voice is None else voice_text)
        long.voice = None if voice is None else (voice, said.text)
        config, how = guidance_config(**guidance), choose_sampler(preset, steps, shift, "euler")
        key = key_of(
            model_identity(model), positive, negative, image, voice, voice_text, *scene.size.pixels, scene.size.fit,
            segment_seconds, keep_seconds, length, seed, how.sampler_name, how.sigmas, repr(config),
            audio_codec.identity, CONTENT,
        )  # fmt: skip
        store = SegmentStore(Path(folder_paths.get_output_directory()) / FOLDER, key)
        lengths = [plan.video_frames(number, text) for number in range(len(texts))]
        about_image = [*cropped, *batch_notices(image, IMAGE), *photograph_notices(video_codec, image)]
        for notice in (*about_image, *untrained(model, lengths, scene.size.pixels)):
            announce(notice)
        sample = SegmentSampler(without_notices(model), config, how, texts)
        segments = long.run(sample, lambda latent: decode(latent, video_codec, audio_codec), store, key)
        frames, waveform = join(segments, plan.kept_frames)
        sound = {"waveform": waveform[None, None], "sample_rate": SAMPLE_RATE}
        show_progress(f"{len(segments)} segments, {len(frames) / FPS:.1f} s")
        notices = [*prepared.notices, *(() if voice is None else said.notices), *how.notices, *long.notices]
        return with_notices(notices, frames.float() / 255, sound, float(FPS), "\n".join(texts))


@dataclass(frozen=True)
class SegmentSampler:
    """Samples the segments of one video; progress counts over all of them, and the node says which one it is at.

    Attributes:
        model: MODEL.
        guidance: Scales and switches.
        how: Sampler and noise levels of each segment.
        texts: What each segment says.
    """

    model: ModelPatcher
    guidance: GuidanceConfig
    how: SamplerSettings
    texts: Sequence[str]

    def __call__(self, task: Prepared, seed: int, number: int) -> dict:
        """Sample segment ``number``, from 0; returns its LATENT."""
        guider = make_guider(self.model, task.scene.positive, task.scene.negative, self.guidance)
        steps, count = len(self.how.sigmas) - 1, len(self.texts)
        show = PreviewSettings(DEFAULT_EVERY, number * steps, count * steps, number + 1, count)
        show_progress(f"Segment {number + 1} of {count}: {self.texts[number]}")
        sampler = comfy.samplers.sampler_object(self.how.sampler_name)
        return run_sampler(guider, sampler, self.how.sigmas, task.latent, seed, show)


def untrained(model: ModelPatcher, frames: list[int], size: tuple[int, int]) -> list[str]:
    """Notices about segments of these lengths, video frames, once for all of them."""
    clips = model.model.model_config.clips
    notices = [training_range_notices(clips, length, size, SEGMENTS) for length in (max(frames), min(frames))]
    return list(dict.fromkeys(notice for both in notices for notice in both))


def decode(latent: dict, video_codec, audio_codec) -> Segment:
    """Pictures and sound of a sampled segment."""
    video, audio = latent["samples"].unbind()
    frames = video_codec.decode(video).flatten(0, 1)
    waveform = audio_codec.synthesize(audio).flatten()
    return Segment((frames * 255).round().clamp(0, 255).to(torch.uint8).cpu(), waveform.cpu())
