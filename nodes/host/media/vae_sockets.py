"""Socket types of the pack's VAEs, and error messages for wrong connections.

The outputs of the VAE loaders also have the type VAE, so that ComfyUI's own decoders accept them. The inputs accept
the pack's VAEs only: the editor refuses other VAEs and swapped ones, and suggests the right loader when a user
drops a link.
"""

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import io
from comfy_execution.validation import validate_node_input

from .vaes import AudioVAE, TiledVideoVAE

VideoVAEType, AudioVAEType = io.Custom("UNIAVGEN_VIDEO_VAE"), io.Custom("UNIAVGEN_AUDIO_VAE")
LOADERS = {
    VideoVAEType.io_type: "UniAVGen Load Video VAE",
    AudioVAEType.io_type: "UniAVGen Load Audio VAE",
}


def video_vae_input() -> io.Input:
    """Input socket for a video VAE."""
    return VideoVAEType.Input("video_vae", tooltip="From 'UniAVGen Load Video VAE'.")


def audio_vae_input() -> io.Input:
    """Input socket for an audio VAE."""
    return AudioVAEType.Input("audio_vae", tooltip="From 'UniAVGen Load Audio VAE'.")


def vae_output(vae_type: Any, name: str) -> io.Output:
    """Output socket of a VAE loader, which also has the type VAE."""
    return io.Custom(f"{vae_type.io_type},{io.Vae.io_type}").Output(
        display_name=name, tooltip="For UniAVGen nodes, and for ComfyUI's own VAE nodes."
    )


def require_video_vae(vae: Any) -> None:
    """Raise a ``ValueError`` that names the right loader if an object is not one of the pack's video VAEs."""
    if not isinstance(vae, TiledVideoVAE):
        raise ValueError(_wrong_vae("video_vae", VideoVAEType.io_type, _describe(vae)))


def require_audio_vae(vae: Any) -> None:
    """Raise a ``ValueError`` that names the right loader if an object is not the pack's audio VAE."""
    if not isinstance(vae, AudioVAE):
        raise ValueError(_wrong_vae("audio_vae", AudioVAEType.io_type, _describe(vae)))


def links_error(node: type[io.ComfyNode], linked: Mapping[str, str]) -> str | None:
    """Error message if a link to a node has the wrong type, else None; found before the workflow runs.

    Args:
        node: The node. ComfyUI checks no types itself for a node whose ``validate_inputs`` takes ``input_types``.
        linked: Type of the connected output, by name of the input.
    """
    for name, wanted in _types_of(node.define_schema().inputs):
        connected = linked.get(name)
        if connected is None or validate_node_input(connected, wanted):
            continue
        if wanted in LOADERS:
            other = next((title for kind, title in LOADERS.items() if kind in connected.split(",")), None)
            return _wrong_vae(name, wanted, f"the output of '{other}'" if other else f"a {connected} of another node")
        return f"{name} takes {wanted}, but {connected} is connected."
    return None


def _types_of(inputs: list[io.Input], group: str = "") -> list[tuple[str, str]]:
    """Name and type of every input, including those of a group's options."""
    types = []
    for one in inputs:
        types.append((group + one.id, one.get_io_type()))
        for option in one.options if isinstance(one, io.DynamicCombo.Input) else ():
            types += _types_of(option.inputs, f"{group}{one.id}.")
    return types


def _wrong_vae(name: str, wanted: str, connected: str) -> str:
    stock = " ComfyUI's own VAE loaders produce latents that the model cannot use." if "VAE" in connected else ""
    return f"{name} is {connected}. Connect '{LOADERS[wanted]}' to it.{stock}"


def _describe(vae: Any) -> str:
    if vae is None:
        return "empty"
    if isinstance(vae, TiledVideoVAE):
        return "a video VAE"
    if isinstance(vae, AudioVAE):
        return "an audio VAE"
    network = getattr(vae, "first_stage_model", None)
    return f"ComfyUI's VAE ({type(network).__name__})" if network is not None else f"a {type(vae).__name__}"
