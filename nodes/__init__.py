"""The nodes of the pack, in one list."""

from comfy_api.latest import ComfyExtension, io

from .best_take import BestTake
from .decode import Decode
from .empty_latent import EmptyLatent
from .face_overlay import MaskOverlay, ShowFaceMask
from .find_faces import FindFaces
from .host.example_files import serve_examples
from .keep import Keep
from .latent_files import LoadLatent, SaveLatent
from .lip_sync_meter import SyncMeter
from .loaders import LoadAudioVAE, LoadModel, LoadTextEncoder, LoadVideoVAE
from .long_video import LongVideoNode
from .retake import RetakeNode
from .samplers import Guidance, Guider, Sampler, Sigmas, StepCacheNode
from .save_video import SaveVideo
from .speakers import OneSpeaker, Speakers, SteerFace
from .speech_and_reference import Emotion, ReferenceImage, ReferenceVoice, SpeechText
from .stored_segments import StoredSegments
from .task import Task
from .toon_examples import ToonClip, ToonPortrait

NODES: list[type[io.ComfyNode]] = [
    LoadModel,
    LoadTextEncoder,
    LoadVideoVAE,
    LoadAudioVAE,
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
    BestTake,
    RetakeNode,
    LongVideoNode,
    StoredSegments,
    SaveLatent,
    LoadLatent,
    Decode,
    SaveVideo,
    FindFaces,
    ShowFaceMask,
    MaskOverlay,
    SyncMeter,
]


class UniAVGenExtension(ComfyExtension):
    """Extension with all nodes of the pack."""

    async def on_load(self) -> None:
        """Let the editor show the example media."""
        serve_examples()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Return the node classes."""
        return NODES


async def comfy_entrypoint() -> ComfyExtension:
    """Entry point that ComfyUI calls."""
    return UniAVGenExtension()
