"""Who speaks: one chosen person, or several with a track each."""

from typing import Any

from comfy_api.latest import io

from ..uniavgen_core.model.face_mask import SteeringMode
from .host.conditioning.pass_settings import FACE_MASK_KEY, Speech, Steering, set_pass, set_values
from .host.conditioning.speaker_tracks import Speaker, SpeakerType, latent_mask, set_speakers
from .host.conditioning.spoken_texts import VOICE_TEXT, prepare_field, prepare_voice_text, require_transcript
from .host.notices import error_of, with_notices
from .host.sampling.joint_latent import split
from .host.tasks.joint_setup import voice_mel
from .sockets import (
    aliases,
    conditioning_inputs,
    conditioning_outputs,
    float_input,
    latent_input,
    latent_output,
    share_input,
    text_input,
)

MOST_SPEAKERS = 4


def steering_inputs() -> list[io.Input]:
    """Widgets of ``Steering``, one per field."""
    return [
        io.Combo.Input(
            "mode",
            options=[mode.value for mode in SteeringMode],
            tooltip="How your mask is combined with the predicted one: replace, multiply or add.",
        ),
        float_input(
            "strength",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip="How far the predicted mask is changed; 0 leaves it as it is.",
        ),
        share_input("start_sigma", 1.0, "Noise level at which steering begins; 1 is the first step."),
        share_input("stop_sigma", 0.0, "Noise level at which steering ends; 0 is the last step."),
    ]


def steering(mode: str, strength: float, start_sigma: float, stop_sigma: float) -> Steering:
    """Read the widgets of ``steering_inputs``.

    Raises:
        ValueError: If steering would end before it begins.
    """
    if stop_sigma > start_sigma:
        raise ValueError(
            f"Steering stops at noise level {stop_sigma:g}, above its start at {start_sigma:g}. Noise falls while "
            "sampling: make stop_sigma the smaller one."
        )
    return Steering(SteeringMode(mode), strength, start_sigma, stop_sigma)


class SteerFace(io.ComfyNode):
    """Lets the chosen person speak."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenSteerFace",
            display_name="UniAVGen Steer Face",
            category="UniAVGen/faces",
            search_aliases=aliases("who speaks, active speaker, face mask, talking head, lip sync, 指定说话人"),
            description="Makes the person under the mask the speaker: the audio interacts with this face only.",
            inputs=[
                *conditioning_inputs(),
                io.Latent.Input("latent", tooltip="The clip; the mask is resized to it."),
                io.Mask.Input(
                    "mask", optional=True, tooltip="One mask, or one per frame. Without it, the whole picture."
                ),
                *steering_inputs(),
            ],
            outputs=conditioning_outputs(),
        )

    @classmethod
    def execute(cls, positive, negative, latent, mask=None, **widgets) -> io.NodeOutput:
        values = {FACE_MASK_KEY: latent_mask(mask, split(latent)[0])[None, None]}
        positive = set_pass(set_values(positive, values), steering=steering(**widgets))
        return io.NodeOutput(positive, set_values(negative, values))


class OneSpeaker(io.ComfyNode):
    """One speaker of a clip with several."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        seconds: dict[str, Any] = {"min": 0.0, "max": 120.0, "step": 0.05}
        return io.Schema(
            node_id="UniAVGenSpeaker",
            display_name="UniAVGen Speaker",
            category="UniAVGen/faces",
            search_aliases=aliases("multi speaker, two people, dialogue, conversation, speech, 多人对话"),
            description="One speaker of several in a clip: what is said, when, by which face and in which voice.",
            inputs=[
                io.String.Input("transcript", multiline=True, default="hello moon", tooltip="What this person says."),
                float_input("start", default=0.0, **seconds, tooltip="When this person begins to speak, in seconds."),
                float_input(
                    "stop",
                    default=0.0,
                    **seconds,
                    tooltip="When this person stops speaking, in seconds; 0 for the clip's end.",
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="Where this person is. Without a mask, the whole picture."
                ),
                io.Audio.Input("voice", optional=True, tooltip="Reference voice of this person, 1 to 10 seconds."),
                text_input("voice_transcript", "What is said in that recording, word for word."),
            ],
            outputs=[SpeakerType.Output(display_name="speaker", tooltip="For 'UniAVGen Speakers'.")],
        )

    @classmethod
    def validate_inputs(cls, transcript: str | None = None, voice_transcript: str | None = None) -> bool | str:
        fault = None if transcript is None else error_of(require_transcript, transcript)
        return fault or error_of(prepare_field, VOICE_TEXT, voice_transcript) or True

    @classmethod
    def execute(cls, transcript, start, stop, mask=None, voice=None, voice_transcript="") -> io.NodeOutput:
        prepared, notices, mel, words = require_transcript(transcript), [], None, ""
        if voice is not None:
            said = prepare_voice_text(voice_transcript)
            mel, notices = voice_mel(voice)
            notices, words = [*notices, *said.notices], said.text
        speech = Speech(prepared.text, words, start=start, stop=stop or None)
        return with_notices([*prepared.notices, *notices], Speaker(speech, mask, mel))


class Speakers(io.ComfyNode):
    """Several speakers in one clip."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        template = io.Autogrow.TemplatePrefix(
            SpeakerType.Input("speaker", tooltip="From 'UniAVGen Speaker'."), prefix="speaker", min=1, max=MOST_SPEAKERS
        )
        return io.Schema(
            node_id="UniAVGenSpeakers",
            display_name="UniAVGen Speakers",
            category="UniAVGen/faces",
            search_aliases=aliases("multi speaker, two people, dialogue, conversation, podcast, 多人对话"),
            description="Gives every speaker an audio track that moves this speaker's face only; 'UniAVGen Decode' "
            "mixes the tracks.",
            inputs=[
                *conditioning_inputs("The encoded caption; transcripts come from the speakers."),
                latent_input(),
                io.Autogrow.Input("speakers", template=template, tooltip="Up to four speakers."),
                *steering_inputs(),
            ],
            outputs=[*conditioning_outputs(), latent_output()],
        )

    @classmethod
    def execute(cls, positive, negative, latent, speakers: dict, **widgets) -> io.NodeOutput:
        chosen = [speaker for speaker in speakers.values() if speaker is not None]
        return io.NodeOutput(*set_speakers(positive, negative, latent, chosen, steering(**widgets)))
