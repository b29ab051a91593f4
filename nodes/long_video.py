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
from .host.long_video.long_inputs import BOTH, FIT_TEXT, FULL_SEGMENTS, LongVideoInputs
from .host.long_video.plans import Plan
from .host.long_video.segment_store import Segment, without_pictures
from .host.long_video.stored_runs import store_for
from .host.media.vae_sockets import (
    audio_vae_input,
    links_error,
    require_audio_vae,
    require_video_vae,
    video_vae_input,
)
from .host.model.load_model import require_uniavgen
from .host.model.model_content import model_content, vae_content
from .host.model.training_range import SEGMENTS, training_range_notices, without_notices
from .host.notices import announce, error_of, show_progress, with_notices
from .host.sampling.guided_sampling import make_guider
from .host.sampling.joint_latent import masks_of
from .host.sampling.live_preview import DEFAULT_EVERY, PreviewSettings
from .host.sampling.result_checks import require_finite, result_notices
from .host.sampling.run_sampler import run_sampler
from .host.tasks.task_scene import PreparedTask, Scene
from .sampling_widgets import (
    CUSTOM,
    SamplerSettings,
    choose_guidance,
    choose_sampler,
    find_preset,
    guidance_inputs,
    preset_input,
    schedule_inputs,
)
from .sockets import (
    SIZES,
    aliases,
    chosen_size,
    conditioning_inputs,
    model_input,
    seed_input,
    size_input,
    text_input,
    trained_seconds_input,
    unknown_option,
)


class LongVideoNode(io.ComfyNode):
    """Makes a video as long as its script."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenLongVideo",
            display_name="UniAVGen Long Video",
            category="UniAVGen/sampling",
            search_aliases=aliases(
                "long video, long audio, script, podcast, talking head, lip sync, dub, infinite length, speech, "
                "avatar, 长视频, 长音频, 配音, 对口型"
            ),
            description="Speaks a whole script, lip-syncs to long audio or dubs a long video: plans segments, starts "
            "each from the last moments of the one before, and joins them. A stopped run resumes where it was.",
            inputs=[
                model_input(),
                *conditioning_inputs("The encoded caption; the words come from the script."),
                video_vae_input(),
                audio_vae_input(),
                io.Image.Input("image", optional=True, tooltip="The person, in every segment."),
                io.Audio.Input(
                    "voice",
                    optional=True,
                    tooltip="Reference voice, 1 to 10 seconds. Without it, all segments keep the voice of the first.",
                ),
                io.Audio.Input(
                    "audio",
                    optional=True,
                    tooltip="Speech or song of up to an hour that drives the lips and is kept sample for sample. "
                    "The script then holds its words.",
                ),
                io.Video.Input(
                    "video",
                    optional=True,
                    tooltip="Video of up to an hour to dub: its frames stay, and the script is spoken.",
                ),
                text_input("voice_transcript", "What is said in that recording, word for word."),
                io.String.Input(
                    "script",
                    multiline=True,
                    default="hello happy robot\nred moon\nbye bye star",
                    tooltip="One transcript per line; a line too long for a segment is split at sentence ends. With "
                    "audio: its words, spread over time; blank if unknown.",
                ),
                size_input(),
                trained_seconds_input("segment_seconds", "Length of the longest segment."),
                trained_seconds_input("keep_seconds", "Length of a segment's end from which the next one starts."),
                io.Combo.Input(
                    "length",
                    options=[FULL_SEGMENTS, FIT_TEXT],
                    tooltip="Segment length: always full, or as long as the text needs.",
                ),
                seed_input(),
                preset_input(),
                *schedule_inputs(),
                *guidance_inputs(),
                io.Boolean.Input(
                    "start_over",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Generate all segments again, including those that a stopped run has finished.",
                ),
                io.Boolean.Input(
                    "keep_segments",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Keep the segments on disk after saving. If you change a line later, only segments from "
                    "there on are generated again. Otherwise they are deleted once ComfyUI releases the video.",
                ),
            ],
            outputs=[
                io.Video.Output(
                    display_name="video",
                    tooltip="The whole video, for 'Save Video'. Its frames stay on disk until a node such as 'Get "
                    "Video Components' asks for them.",
                ),
                io.String.Output(display_name="segments", tooltip="What each segment says, one line each."),
            ],
        )

    @classmethod
    def validate_inputs(
        cls,
        input_types: dict | None = None,
        size: dict | None = None,
        script: str | None = None,
        voice_transcript: str | None = None,
    ) -> bool | str:
        is_spoken = script is not None and "audio" not in (input_types or {})
        fault = error_of(require_transcript, script, True, "script") if is_spoken else None
        fault = BOTH if {"audio", "video"} <= set(input_types or {}) else fault
        fault = unknown_option(size, "size", SIZES) or links_error(cls, input_types or {}) or fault
        return fault or error_of(prepare_field, VOICE_TEXT, voice_transcript) or True

    @classmethod
    def execute(
        cls, model, positive, negative, video_vae, audio_vae, size, steps, shift, preset=CUSTOM, start_over=False,
        keep_segments=False, **values,
    ) -> io.NodeOutput:  # fmt: skip
        require_uniavgen(model)
        require_video_vae(video_vae)
        require_audio_vae(audio_vae)
        widgets = {widget.id: values.pop(widget.id) for widget in guidance_inputs()}
        values["segment_seconds"] = values["segment_seconds"] or video_vae.seconds
        is_driven = values.get("audio") is not None
        trained = video_vae.kept_seconds_with_audio if is_driven else video_vae.kept_seconds
        values["keep_seconds"] = values["keep_seconds"] or trained
        inputs, found = LongVideoInputs(**values), find_preset(preset, model)
        guidance, sampling = choose_guidance(found, **widgets), choose_sampler(found, steps, shift, "euler")
        scene = Scene(positive, negative, video_vae, chosen_size(size, inputs.segment_seconds))
        long_video, about = inputs.plan(scene, model.model.diffusion_model.config.text)
        plan, chosen = long_video.plan, long_video.scene.size
        for notice in (*about, *untrained(model, plan, long_video.scene)):
            announce(notice)
        maker = SegmentMaker(without_notices(model), guidance, sampling, plan, audio_vae)
        others = (
            audio_vae.identity, positive, negative, inputs.made_from, chosen.pixels, chosen.fit, guidance,
            sampling.sampler_name, sampling.sigmas,
        )  # fmt: skip
        store, about_store = store_for(lambda: (model_content(model), vae_content(video_vae), *others), start_over)
        video, notices = long_video.make(maker.make, store)
        video = replace(video, keeps_segments=keep_segments)
        show_progress(f"{len(video.segments)} segments, {video.get_duration():.1f} s")
        return with_notices([*about_store, *notices], video, "\n".join(plan.labels))


@dataclass(frozen=True)
class SegmentMaker:
    """Samples and decodes segments; progress counts over all of them, and the node says which one it is at."""

    model: ModelPatcher
    guidance: GuidanceConfig
    sampling: SamplerSettings
    plan: Plan
    audio_vae: Any

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
        pictures = task.scene.video_vae.decode(video) if is_seen else None
        waveform = self.audio_vae.synthesize(audio).cpu() if is_heard else torch.zeros(1, 1, 0)
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
