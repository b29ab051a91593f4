"""A video as long as its script."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy.samplers
import folder_paths
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import Tensor

from ..uniavgen_core.config import GuidanceConfig, TextConfig
from ..uniavgen_core.shapes import FPS, SAMPLE_RATE
from ..uniavgen_core.text.transcript import PreparedText
from .host.conditioning.spoken_texts import VOICE_TEXT, prepare_field, prepare_voice_text, require_transcript
from .host.long_video.segment_store import Segment, SegmentStore, key_of
from .host.long_video.segments import LongPlan, LongVideo, Voice, join, plan_segments
from .host.media.codec_sockets import (
    audio_codec_input,
    links_error,
    require_audio_codec,
    require_video_codec,
    video_codec_input,
)
from .host.media.drawn_pictures import photograph_notices
from .host.media.footage import batch_notices
from .host.model.load_model import model_identity, require_uniavgen
from .host.model.training_range import SEGMENTS, training_range_notices, without_notices
from .host.notices import announce, error_of, show_progress, with_notices
from .host.sampling.guided_sampling import make_guider
from .host.sampling.live_preview import DEFAULT_EVERY, PreviewSettings
from .host.sampling.run_sampler import run_sampler
from .host.tasks.task_scene import IMAGE, PreparedTask, Scene
from .samplers import (
    CUSTOM,
    SamplerSettings,
    choose_guidance,
    choose_sampler,
    guidance_inputs,
    preset_input,
    schedule_inputs,
)
from .sockets import chosen_size, seconds_input, seed_input, size_input, text_input

AS_NEEDED, FULL = "as the text needs", "full segments"
FOLDER = "uniavgen"
"""Within ComfyUI's output folder."""
CONTENT = "sound at the mel's level"
"""Version of the content of stored segments, a part of their key: earlier ones have clipped sound."""


@dataclass(frozen=True)
class LongVideoInputs:
    """The user's inputs for a long video, besides models, conditionings and guidance.

    Attributes:
        script: Transcript of the whole video, one line or more.
        size: Value of ``size_input``.
        segment_seconds: Longest segment.
        keep_seconds: Length of the end of a segment that the next one goes on from.
        length: ``FULL`` or ``AS_NEEDED``.
        seed: Seed of the first segment.
        steps: Sampling steps.
        shift: Shift of the noise levels.
        image: The person, (B, H, W, 3), or None.
        voice: AUDIO of someone speaking; None for the voice of the first segment.
        voice_text: Transcript of the voice.
        preset: Name of a sampling preset, or ``CUSTOM``.
    """

    script: str
    size: dict
    segment_seconds: float
    keep_seconds: float
    length: str
    seed: int
    steps: int
    shift: float
    image: Tensor | None = None
    voice: dict | None = None
    voice_text: str = ""
    preset: str = CUSTOM

    def prepared_voice_text(self) -> PreparedText:
        """The voice's text as the model reads it; empty without a voice."""
        return PreparedText("") if self.voice is None else prepare_voice_text(self.voice_text)

    def plan_of(self, script: str, text: TextConfig) -> LongPlan:
        """Segments of a prepared script."""
        texts = plan_segments(script, self.segment_seconds, self.keep_seconds, text)
        return LongPlan(texts, self.segment_seconds, self.keep_seconds, self.length == AS_NEEDED, self.seed, text)

    def made_from(self, scene: Scene, sampling: SamplerSettings) -> tuple[Any, ...]:
        """All that segments are made from here, besides their texts; stored ones are found by values and order."""
        return (
            self.image, self.voice, self.voice_text, *scene.size.pixels, scene.size.fit, self.segment_seconds,
            self.keep_seconds, self.length, self.seed, sampling.sampler_name, sampling.sigmas,
        )  # fmt: skip


class LongVideoNode(io.ComfyNode):
    """Makes a video as long as its script."""

    @classmethod
    def define_schema(cls) -> io.Schema:
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
                text_input("voice_text", "What the reference voice says."),
                io.String.Input(
                    "script",
                    multiline=True,
                    default="hello happy robot\nred moon\nbye bye star",
                    tooltip="One transcript a line; what is too long for a segment is cut at ends of sentences.",
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
        fault = None if script is None else error_of(require_transcript, script, True, "script")
        fault = links_error(cls, input_types or {}) or fault
        return fault or error_of(prepare_field, VOICE_TEXT, voice_text) or True

    @classmethod
    def execute(cls, model, positive, negative, video_codec, audio_codec, **values) -> io.NodeOutput:
        require_uniavgen(model)
        require_video_codec(video_codec)
        require_audio_codec(audio_codec)
        widgets = {widget.id: values.pop(widget.id) for widget in guidance_inputs()}
        inputs = LongVideoInputs(**values)
        guidance = choose_guidance(inputs.preset, **widgets)
        said, voice_text = require_transcript(inputs.script, field="script"), inputs.prepared_voice_text()
        scene = Scene(positive, negative, video_codec, chosen_size(inputs.size, inputs.segment_seconds))
        scene, cropped = scene.sized_for(inputs.image, IMAGE)
        sampling = choose_sampler(inputs.preset, inputs.steps, inputs.shift, "euler")
        plan = inputs.plan_of(said.text, model.model.diffusion_model.config.text)
        about_image = [*batch_notices(inputs.image, IMAGE), *photograph_notices(video_codec, inputs.image)]
        for notice in (*cropped, *about_image, *untrained(model, plan, scene)):
            announce(notice)
        maker = SegmentMaker(without_notices(model), guidance, sampling, plan, audio_codec)
        key = key_of(
            model_identity(model), positive, negative, *inputs.made_from(scene, sampling), repr(guidance),
            audio_codec.identity, CONTENT,
        )  # fmt: skip
        store = SegmentStore(Path(folder_paths.get_output_directory()) / FOLDER, key)
        voice = None if inputs.voice is None else Voice(inputs.voice, voice_text.text)
        segments, notices = LongVideo(scene, plan, inputs.image, voice).make(maker.make, store)
        frames, waveform = join(segments, plan.kept_frames)
        show_progress(f"{len(segments)} segments, {len(frames) / FPS:.1f} s")
        sound = {"waveform": waveform[None, None], "sample_rate": SAMPLE_RATE}
        notices = [*said.notices, *voice_text.notices, *sampling.notices, *notices]
        return with_notices(notices, frames.float() / 255, sound, float(FPS), "\n".join(plan.texts))


@dataclass(frozen=True)
class SegmentMaker:
    """Samples and decodes segments; progress counts over all of them, and the node says which one it is at."""

    model: ModelPatcher
    guidance: GuidanceConfig
    sampling: SamplerSettings
    plan: LongPlan
    audio_codec: Any

    def make(self, task: PreparedTask, number: int) -> Segment:
        """Pictures and sound of segment ``number``, from 0."""
        guider = make_guider(self.model, task.scene.positive, task.scene.negative, self.guidance)
        count = len(self.plan.texts)
        show = PreviewSettings(DEFAULT_EVERY, number + 1, count)
        show_progress(f"Segment {number + 1} of {count}: {self.plan.texts[number]}")
        sampler = comfy.samplers.sampler_object(self.sampling.sampler_name)
        latent = run_sampler(guider, sampler, self.sampling.sigmas, task.latent, self.plan.seed + number, show)
        video, audio = latent["samples"].unbind()
        frames = task.scene.video_codec.decode(video).flatten(0, 1)
        waveform = self.audio_codec.synthesize(audio).flatten()
        return Segment((frames * 255).round().clamp(0, 255).to(torch.uint8).cpu(), waveform.cpu())


def untrained(model: ModelPatcher, plan: LongPlan, scene: Scene) -> list[str]:
    """Notices about segments that the model was not trained for, once for all of them."""
    frames = [plan.video_frames(number) for number in range(len(plan.texts))]
    clips, size = model.model.model_config.clips, scene.size.pixels
    notices = [training_range_notices(clips, length, size, SEGMENTS) for length in (max(frames), min(frames))]
    return list(dict.fromkeys(notice for both in notices for notice in both))
