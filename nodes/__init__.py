"""The nodes of the pack, in one list."""

from comfy_api.latest import ComfyExtension, io

from .cache import StepCacheNode
from .condition import ReferenceImage, SpeechText
from .decode import Decode
from .emotion import Emotion
from .face import FindFaces
from .face_show import MaskOverlay, ShowFaceMask
from .keep import Keep
from .latent import EmptyLatent
from .load import LoadAudioCodec, LoadModel, LoadTextEncoder, LoadVideoCodec
from .long import LongVideoNode
from .portrait import ToonClip, ToonPortrait
from .sample import Guidance, Guider, Sampler, Sigmas
from .save import SaveVideo
from .speakers import OneSpeaker, Speakers, SteerFace
from .sync import SyncMeter
from .task import Task
from .voice import ReferenceVoice

NODES: list[type[io.ComfyNode]] = [
    LoadModel,
    LoadTextEncoder,
    LoadVideoCodec,
    LoadAudioCodec,
    ToonPortrait,
    ToonClip,
    SpeechText,
    Emotion,
    ReferenceImage,
    ReferenceVoice,
    EmptyLatent,
    Task,
    Keep,
    SteerFace,
    OneSpeaker,
    Speakers,
    Sampler,
    Guider,
    Guidance,
    Sigmas,
    StepCacheNode,
    LongVideoNode,
    Decode,
    SaveVideo,
    FindFaces,
    ShowFaceMask,
    MaskOverlay,
    SyncMeter,
]


class UniAVGenExtension(ComfyExtension):
    """What ComfyUI asks a pack for."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Return the nodes."""
        return NODES


async def comfy_entrypoint() -> ComfyExtension:
    """Entry point that ComfyUI calls."""
    return UniAVGenExtension()
