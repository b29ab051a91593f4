"""The nodes of the pack, in one list."""

from comfy_api.latest import ComfyExtension, io

from .condition import ReferenceImage, SpeechText
from .decode import Decode
from .latent import EmptyLatent
from .load import LoadAudioCodec, LoadModel, LoadTextEncoder, LoadVideoCodec
from .portrait import ToonPortrait
from .sample import Guidance, Guider, Sampler, Sigmas

NODES: list[type[io.ComfyNode]] = [
    LoadModel,
    LoadTextEncoder,
    LoadVideoCodec,
    LoadAudioCodec,
    ToonPortrait,
    SpeechText,
    ReferenceImage,
    EmptyLatent,
    Sampler,
    Guider,
    Guidance,
    Sigmas,
    Decode,
]


class UniAVGenExtension(ComfyExtension):
    """What ComfyUI asks a pack for."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Return the nodes."""
        return NODES


async def comfy_entrypoint() -> ComfyExtension:
    """Entry point that ComfyUI calls."""
    return UniAVGenExtension()
