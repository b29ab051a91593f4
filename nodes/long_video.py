"""A video as long as its script, as a sound that it is given, or as a video that it dubs."""

from dataclasses import dataclass, replace
from typing import Any

import comfy.samplers
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..uniavgen_core.config import GuidanceConfig
from .host.conditioning.spoken_texts import (
    VOICE_TEXT,
    prepare_field,
    require_transcript,
)
from .host.long_video.long_inputs import AS_NEEDED, BOTH, FULL, LongVideoInputs
from .host.long_video.plans import Plan
from .host.long_video.segment_store import Segment, without_pictures
from .host.long_video.stored_runs import store_for
from .host.media.codec_sockets import (
    audio_codec_input,
    links_error,
    require_audio_codec,
    require_video_codec,
    video_codec_input,
)
from .host.model.load_model import require_uniavgen
from .host.model.model_content import codec_content, model_content
from .host.model.training_range import SEGMENTS, training_range_notices, without_notices
from .host.notices import announce, error_of, show_progress, with_notices
from .host.sampling.guided_sampling import make_guider
from .host.sampling.joint_latent import masks_of
from .host.sampling.live_preview import DEFAULT_EVERY, PreviewSettings
from .host.sampling.result_checks import require_finite, result_notices
from .host.sampling.run_sampler import run_sampler
from .host.tasks.task_scene import PreparedTask, Scene
from .samplers import (
    CUSTOM,
    SamplerSettings,
    choose_guidance,
    choose_sampler,
    guidance_inputs,
    preset_input,
    schedule_inputs,
)
from .sockets import SIZES, chosen_size, seconds_input, seed_input, size_input, text_input, unknown_option


class LongVideoNode(io.ComfyNode):
    """Makes a video as long as its script."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenLongVideo",
            display_name="UniAVGen Long Video",
            category="UniAVGen/sampling",
            description="Speaks a whole script, lip-syncs to long audio or dubs a long video: plans segments, lets "
            "each go on from the last moments of the one before, and joins them. A stopped run keeps what is finished "
            "and goes on there.",
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
                io.Audio.Input(
                    "sound",
                    optional=True,
                    tooltip="Audio of up to an hour that drives the lips and is kept sample for sample. The script "
                    "holds its words then.",
                ),
                io.Video.Input(
                    "video",
                    optional=True,
                    tooltip="Video of up to an hour to dub: its pictures stay, and the script is what is said in it.",
                ),
                text_input("voice_text", "What the reference voice says."),
                io.String.Input(
                    "script",
                    multiline=True,
                    default="hello happy robot\nred moon\nbye bye star",
                    tooltip="One transcript a line; what is too long for a segment is cut at ends of sentences. With a "
                    "sound: its words, which are shared out by time; blank if they are not known.",
                ),
                size_input(),
                seconds_input(
                    "segment_seconds", 2.0625, "Longest segment: what the model was trained at, 5.0625 for the release."
                ),
                seconds_input(
                    "keep_seconds", 0.5625, "How much of a segment the next one goes on from; 2.3125 for the release."
                ),
                io.Combo.Input("length", options=[FULL, AS_NEEDED], tooltip="How long the segments are."),
                seed_input(),
                *schedule_inputs(),
                *guidance_inputs(),
                preset_input("steps and shift"),
                io.Boolean.Input(
                    "start_over",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Generate all segments again, even those that a stopped run has finished.",
                ),
                io.Boolean.Input(
                    "keep_segments",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Keep the segments on disk after the video has been saved, so that changing a line "
                    "generates only those from there on. Otherwise they are deleted once ComfyUI releases the video.",
                ),
            ],
            outputs=[
                io.Video.Output(
                    display_name="video",
                    tooltip="The whole video, for 'Save Video'. Its pictures stay on the disk until something asks for "
                    "them, as 'Get Video Components' does.",
                ),
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
        is_spoken = script is not None and "sound" not in (input_types or {})
        fault = error_of(require_transcript, script, True, "script") if is_spoken else None
        fault = BOTH if {"sound", "video"} <= set(input_types or {}) else fault
        fault = unknown_option(size, "size", SIZES) or links_error(cls, input_types or {}) or fault
        return fault or error_of(prepare_field, VOICE_TEXT, voice_text) or True

    @classmethod
    def execute(
        cls, model, positive, negative, video_codec, audio_codec, size, steps, shift, preset=CUSTOM, start_over=False,
        keep_segments=False, **values,
    ) -> io.NodeOutput:  # fmt: skip
        require_uniavgen(model)
        require_video_codec(video_codec)
        require_audio_codec(audio_codec)
        widgets = {widget.id: values.pop(widget.id) for widget in guidance_inputs()}
        inputs, guidance = LongVideoInputs(**values), choose_guidance(preset, **widgets)
        scene = Scene(positive, negative, video_codec, chosen_size(size, inputs.segment_seconds))
        sampling = choose_sampler(preset, steps, shift, "euler")
        long_video, about = inputs.plan(scene, model.model.diffusion_model.config.text)
        plan, chosen = long_video.plan, long_video.scene.size
        for notice in (*about, *untrained(model, plan, long_video.scene)):
            announce(notice)
        maker = SegmentMaker(without_notices(model), guidance, sampling, plan, audio_codec)
        others = (
            audio_codec.identity, positive, negative, inputs.made_from, chosen.pixels, chosen.fit, guidance,
            sampling.sampler_name, sampling.sigmas,
        )  # fmt: skip
        store, about_store = store_for(lambda: (model_content(model), codec_content(video_codec), *others))
        if start_over:
            store.clear()
        video, notices = long_video.make(maker.make, store)
        video = replace(video, keeps_segments=keep_segments)
        show_progress(f"{len(video.segments)} segments, {video.get_duration():.1f} s")
        return with_notices([*sampling.notices, *about_store, *notices], video, "\n".join(plan.labels))


@dataclass(frozen=True)
class SegmentMaker:
    """Samples and decodes segments; progress counts over all of them, and the node says which one it is at."""

    model: ModelPatcher
    guidance: GuidanceConfig
    sampling: SamplerSettings
    plan: Plan
    audio_codec: Any

    def make(self, task: PreparedTask, number: int) -> Segment:
        """Pictures and sound of segment ``number``, from 0."""
        guider = make_guider(self.model, task.scene.positive, task.scene.negative, self.guidance)
        count = len(self.plan.texts)
        show = PreviewSettings(DEFAULT_EVERY, number + 1, count)
        show_progress(f"Segment {number + 1} of {count}: {self.plan.labels[number]}")
        sampler = comfy.samplers.sampler_object(self.sampling.sampler_name)
        latent = run_sampler(guider, sampler, self.sampling.sigmas, task.latent, self.plan.seed + number, show)
        video, audio = latent["samples"].unbind()
        require_finite(video, audio)
        is_seen, is_heard = (bool(mask.any()) for mask in masks_of(task.latent))  # else it is the user's
        pictures = task.scene.video_codec.decode(video) if is_seen else None
        waveform = self.audio_codec.synthesize(audio).cpu() if is_heard else torch.zeros(1, 1, 0)
        for notice in result_notices(pictures, waveform):
            announce(f"Segment {number + 1}: {notice}")
        if pictures is None:
            return Segment(without_pictures(self.plan.video_frames(number)), waveform.flatten())
        frames = (pictures[0] * 255).round().clamp(0, 255).to(torch.uint8).cpu()
        return Segment(frames, waveform.flatten())


def untrained(model: ModelPatcher, plan: Plan, scene: Scene) -> list[str]:
    """Notices about segments that the model was not trained for, once for all of them."""
    frames = [plan.video_frames(number) for number in range(len(plan.texts))]
    clips, size = model.model.model_config.clips, scene.size.pixels
    notices = [training_range_notices(clips, length, size, SEGMENTS) for length in (max(frames), min(frames))]
    return list(dict.fromkeys(notice for both in notices for notice in both))
