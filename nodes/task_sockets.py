"""Sockets and widgets of each task of 'UniAVGen Task'; they are named as the parameters of its setup."""

from comfy_api.latest import io

from .host.conditioning.spoken_texts import WITHOUT_WORDS
from .host.tasks.audio_driven_setup import SET_LENGTH, SOUND_LENGTH
from .host.tasks.continuation_setup import NEW, WHOLE
from .sockets import seconds_input, text_input

DUBBED = "The video to dub. Decode returns its frames bit for bit, and 'UniAVGen Save Video' copies its video stream."
CONTINUED = "The clip to continue. Decode returns it bit for bit; the saved file encodes it again."
PERSON = "The person, and the first frame. Without one, the caption alone says who it is."


def joint_sockets() -> list[io.Input]:
    """Sockets of joint generation."""
    return [_image(PERSON), seconds_input("seconds", 2.0625, "Length of the clip.")]


def reference_voice_sockets() -> list[io.Input]:
    """Sockets of generation in a reference voice."""
    return [*joint_sockets(), *_voice()]


def audio_driven_sockets() -> list[io.Input]:
    """Sockets of audio-driven generation."""
    return [
        _image(PERSON),
        io.Audio.Input(
            "sound",
            optional=True,
            tooltip="The sound that drives the lips. Decode returns it sample for sample, and 'UniAVGen Save "
            "Video' stores it without loss. Write down what is said in it: see sound_text.",
        ),
        io.Combo.Input("length", options=[SOUND_LENGTH, SET_LENGTH], tooltip="How long the clip becomes."),
        seconds_input(
            "seconds", 2.0625, "Length where it is set: a longer sound is cut, after a shorter one more is generated."
        ),
        text_input(
            "sound_text",
            "The words of the sound, as they are spoken; needed also when nothing is generated after it, "
            "unless 'UniAVGen Speech Text' has them. Of a sound that is cut, only the words that are left. "
            f"{WITHOUT_WORDS}",
        ),
    ]


def dubbing_sockets() -> list[io.Input]:
    """Sockets of video dubbing."""
    return [io.Video.Input("video", tooltip=DUBBED)]


def continuation_sockets() -> list[io.Input]:
    """Sockets of continuation."""
    return [
        io.Video.Input("video", tooltip=CONTINUED),
        seconds_input("keep_seconds", 0.5625, "How much of its end the model sees."),
        seconds_input("seconds", 1.5, "How much is generated after it."),
        io.Combo.Input("result", options=[WHOLE, NEW], tooltip="What the result holds."),
        text_input("kept_text", "What the kept part says, if anything."),
        _image("The person; without one, the clip's first frame."),
        *_voice(),
    ]


def _image(tooltip: str) -> io.Input:
    return io.Image.Input("image", optional=True, tooltip=tooltip)


def _voice() -> list[io.Input]:
    return [
        io.Audio.Input(
            "voice", optional=True, tooltip="1 to 10 seconds of someone speaking; any rate, mono or stereo."
        ),
        text_input(
            "voice_text", "What the reference voice says, word for word. Without it the voice is copied less well."
        ),
    ]
