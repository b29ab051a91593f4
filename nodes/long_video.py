"""A video as long as its script, or as a sound that it is given."""

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
from ..uniavgen_core.media.audio.quiet_sound import quiet_notices
from ..uniavgen_core.shapes import FPS
from ..uniavgen_core.text.transcript import PreparedText
from .host.conditioning.spoken_texts import (
    VOICE_TEXT,
    WITHOUT_WORDS,
    prepare_field,
    prepare_voice_text,
    require_transcript,
)
from .host.long_video.segment_store import Segment, SegmentStore, key_of
from .host.long_video.segments import LongPlan, LongVideo, Plan, ScriptVideo, Voice, plan_segments, seconds_added
from .host.long_video.sound_segments import LONGEST_SOUND, DrivenVideo, plan_sound
from .host.media.codec_sockets import (
    audio_codec_input,
    links_error,
    require_audio_codec,
    require_video_codec,
    video_codec_input,
)
from .host.media.drawn_pictures import photograph_notices
from .host.media.footage import batch_notices, first_sound
from .host.media.source_media import SourceMediaType
from .host.model.load_model import model_identity, require_uniavgen
from .host.model.training_range import SEGMENTS, training_range_notices, without_notices
from .host.notices import announce, error_of, show_progress, with_notices
from .host.sampling.guided_sampling import make_guider
from .host.sampling.joint_latent import masks_of
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
NO_SCRIPT = f"The words of the sound are missing. Write what is said in it into 'script'. {WITHOUT_WORDS}"
NO_VOICE = "The voice is not used: what is heard is the sound."
CONTENT = "colours anchored"
"""Version of the content of stored segments, a part of their key: the colours of earlier ones drift."""


@dataclass(frozen=True)
class LongVideoInputs:
    """The user's inputs for a long video, besides models, conditionings and guidance.

    Attributes:
        script: Transcript of the whole video, one line or more; of a sound, its words, or blank.
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
        sound: AUDIO that drives the lips; None to speak the script.
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
    sound: dict | None = None
    preset: str = CUSTOM

    def film(self, scene: Scene, text: TextConfig) -> tuple[LongVideo, list[str]]:
        """The video to make, and notices about what it says.

        Raises:
            ValueError: If there is nothing to say, segments would add nothing, or a sound cannot be used.
        """
        return self._spoken(scene, text) if self.sound is None else self._driven(scene, self.sound)

    def _spoken(self, scene: Scene, text: TextConfig) -> tuple[LongVideo, list[str]]:
        """The video that speaks the script."""
        said = require_transcript(self.script, field="script")
        voice_text = PreparedText("") if self.voice is None else prepare_voice_text(self.voice_text)
        texts = plan_segments(said.text, self.segment_seconds, self.keep_seconds, text)
        as_needed = self.length == AS_NEEDED
        plan = LongPlan(texts, self.segment_seconds, self.keep_seconds, as_needed, self.seed, text)
        voice = None if self.voice is None else Voice(self.voice, voice_text.text)
        return ScriptVideo(scene, plan, self.image, voice), [*said.notices, *voice_text.notices]

    def _driven(self, scene: Scene, sound: dict) -> tuple[LongVideo, list[str]]:
        """The video that a sound drives, with the script as its words."""
        own, notices = first_sound(sound, "the sound")
        if own.seconds > LONGEST_SOUND:
            raise ValueError(
                f"The sound lasts {own.seconds / 60:.0f} min; at most {LONGEST_SOUND / 60:.0f} min are taken. Cut it "
                "with 'Trim Audio Duration', and join the videos afterwards."
            )
        seconds_added(self.segment_seconds, self.keep_seconds)
        said = prepare_field("script", self.script)
        notices += [*said.notices, *([] if said.text else [NO_SCRIPT]), *([] if self.voice is None else [NO_VOICE])]
        plan = plan_sound(own, said.text, self.segment_seconds, self.keep_seconds, self.length == AS_NEEDED, self.seed)
        return DrivenVideo(scene, plan, self.image, None), [*notices, *quiet_notices(own, "the sound")]

    def made_from(self, scene: Scene, sampling: SamplerSettings) -> tuple[Any, ...]:
        """All that segments are made from here, besides their texts; stored ones are found by values and order."""
        return (
            self.image, self.voice, self.voice_text, *scene.size.pixels, scene.size.fit, self.segment_seconds,
            self.keep_seconds, self.length, self.seed, sampling.sampler_name, sampling.sigmas,
            *([] if self.sound is None else [self.sound]),
        )  # fmt: skip


class LongVideoNode(io.ComfyNode):
    """Makes a video as long as its script."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenLongVideo",
            display_name="UniAVGen Long Video",
            category="UniAVGen/sampling",
            description="Speaks a whole script, or lip-syncs to long audio: plans segments, lets each go on from the "
            "last moments of the one before, and joins them. A stopped run keeps what is finished and goes on there.",
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
            ],
            outputs=[
                io.Image.Output(display_name="images"),
                io.Audio.Output(display_name="audio"),
                io.Float.Output(display_name="fps"),
                io.String.Output(display_name="segments", tooltip="What each segment says, a line each."),
                SourceMediaType.Output(display_name="given", tooltip="The sound, for 'UniAVGen Save Video' to keep."),
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
        is_spoken = script is not None and "sound" not in (input_types or {})
        fault = error_of(require_transcript, script, True, "script") if is_spoken else None
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
        scene = Scene(positive, negative, video_codec, chosen_size(inputs.size, inputs.segment_seconds))
        scene, cropped = scene.sized_for(inputs.image, IMAGE)
        sampling = choose_sampler(inputs.preset, inputs.steps, inputs.shift, "euler")
        film, about_words = inputs.film(scene, model.model.diffusion_model.config.text)
        about_image = [*batch_notices(inputs.image, IMAGE), *photograph_notices(video_codec, inputs.image)]
        for notice in (*cropped, *about_image, *untrained(model, film.plan, scene)):
            announce(notice)
        maker = SegmentMaker(without_notices(model), guidance, sampling, film.plan, audio_codec)
        key = key_of(
            model_identity(model), positive, negative, *inputs.made_from(scene, sampling), repr(guidance),
            audio_codec.identity, CONTENT,
        )  # fmt: skip
        store = SegmentStore(Path(folder_paths.get_output_directory()) / FOLDER, key)
        segments, notices = film.make(maker.make, store)
        frames, sound = film.finished(segments)
        show_progress(f"{len(segments)} segments, {len(frames) / FPS:.1f} s")
        heard = {"waveform": sound.waveform[None], "sample_rate": sound.sample_rate}
        notices = [*about_words, *sampling.notices, *notices]
        said = "\n".join(film.plan.labels)
        return with_notices(notices, frames.float() / 255, heard, float(FPS), said, film.given)


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
        frames = task.scene.video_codec.decode(video).flatten(0, 1)
        is_heard = bool(masks_of(task.latent)[1].any())  # else all of the sound is the user's
        waveform = self.audio_codec.synthesize(audio).flatten() if is_heard else torch.zeros(0)
        return Segment((frames * 255).round().clamp(0, 255).to(torch.uint8).cpu(), waveform.cpu())


def untrained(model: ModelPatcher, plan: Plan, scene: Scene) -> list[str]:
    """Notices about segments that the model was not trained for, once for all of them."""
    frames = [plan.video_frames(number) for number in range(len(plan.texts))]
    clips, size = model.model.model_config.clips, scene.size.pixels
    notices = [training_range_notices(clips, length, size, SEGMENTS) for length in (max(frames), min(frames))]
    return list(dict.fromkeys(notice for both in notices for notice in both))
