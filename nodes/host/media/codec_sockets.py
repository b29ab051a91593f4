"""Types of our own sockets for codecs, and what is said where something else is connected.

The loaders' outputs are VAE too, so that ComfyUI's own decoders take them; our inputs take our codecs alone. So the
editor refuses another VAE, or the two codecs in each other's places, and offers the right loader where a link is
dropped.
"""

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import io
from comfy_execution.validation import validate_node_input

from .codecs import AudioCodec, TiledVideoCodec

VideoCodecType, AudioCodecType = io.Custom("UNIAVGEN_VIDEO_CODEC"), io.Custom("UNIAVGEN_AUDIO_CODEC")
LOADERS = {
    VideoCodecType.io_type: "UniAVGen Load Video Codec",
    AudioCodecType.io_type: "UniAVGen Load Audio Codec",
}


def video_codec_input() -> io.Input:
    """The socket for a video codec."""
    return VideoCodecType.Input("video_codec", tooltip="From 'UniAVGen Load Video Codec'.")


def audio_codec_input() -> io.Input:
    """The socket for an audio codec."""
    return AudioCodecType.Input("audio_codec", tooltip="From 'UniAVGen Load Audio Codec'.")


def codec_output(kind: Any, name: str) -> io.Output:
    """A loader's output: one of our types, and a VAE."""
    return io.Custom(f"{kind.io_type},{io.Vae.io_type}").Output(display_name=name)


def require_video_codec(codec: Any) -> None:
    """Refuse what is no video codec of ours.

    Raises:
        ValueError: Saying what it is, and which node loads the right one.
    """
    if not isinstance(codec, TiledVideoCodec):
        raise ValueError(_fault("video_codec", VideoCodecType.io_type, _kind_of(codec)))


def require_audio_codec(codec: Any) -> None:
    """Refuse what is no audio codec of ours; see ``require_video_codec``."""
    if not isinstance(codec, AudioCodec):
        raise ValueError(_fault("audio_codec", AudioCodecType.io_type, _kind_of(codec)))


def links_error(node: type[io.ComfyNode], linked: Mapping[str, str]) -> str | None:
    """Find a fault in the types that are linked to a node, before anything runs; None if there is none.

    Args:
        node: The node; a node whose ``validate_inputs`` takes ``input_types`` has to check them all.
        linked: Name of each linked input to the type of the output it is linked to.
    """
    for name, wanted in _types_of(node.define_schema().inputs):
        given = linked.get(name)
        if given is None or validate_node_input(given, wanted):
            continue
        if wanted in LOADERS:
            other = next((title for kind, title in LOADERS.items() if kind in given.split(",")), None)
            return _fault(name, wanted, f"what '{other}' gives" if other else f"a {given} of another node")
        return f"{name} takes {wanted}, but {given} is connected."
    return None


def _types_of(inputs: list[io.Input], group: str = "") -> list[tuple[str, str]]:
    """Name and type of every input, those of a group's options too."""
    types = []
    for one in inputs:
        types.append((group + one.id, one.get_io_type()))
        for option in one.options if isinstance(one, io.DynamicCombo.Input) else ():
            types += _types_of(option.inputs, f"{group}{one.id}.")
    return types


def _fault(name: str, wanted: str, given: str) -> str:
    stock = " ComfyUI's own VAE loaders give latents that the model does not know." if "VAE" in given else ""
    return f"{name} is {given}. Connect '{LOADERS[wanted]}' to it.{stock}"


def _kind_of(codec: Any) -> str:
    if codec is None:
        return "empty"
    if isinstance(codec, TiledVideoCodec):
        return "a video codec"
    if isinstance(codec, AudioCodec):
        return "an audio codec"
    network = getattr(codec, "first_stage_model", None)
    return f"ComfyUI's VAE ({type(network).__name__})" if network is not None else f"a {type(codec).__name__}"
