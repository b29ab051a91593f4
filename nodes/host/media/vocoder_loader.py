"""Vocoder folders among ComfyUI's models, and a vocoder under ComfyUI's memory management.

A vocoder is a folder with a BigVGAN, such as the release's, or a Vocos. It is found in ``models/vocoders`` and in the
folders that extra_model_paths.yaml adds to it, and in ``models/diffusion_models``, where a download of the whole
release leaves it.
"""

from pathlib import Path, PurePath

import comfy.model_management
import comfy.model_patcher
import folder_paths
from comfy.k_diffusion.utils import tf32_mode
from torch import Tensor

from ....uniavgen_core.checkpoint.bigvgan_files import (
    CONFIG_FILE,
    PICKLED_WEIGHTS,
    VOCODER_FOLDER,
    WEIGHTS_FILE,
    VocoderError,
    load_bigvgan,
)
from ....uniavgen_core.checkpoint.checked_files import CheckpointError, is_file, naming
from ....uniavgen_core.checkpoint.vocos_files import VOCOS_CONFIG, is_vocos, load_vocos
from ....uniavgen_core.media.audio.bigvgan import BigVGAN
from ....uniavgen_core.media.audio.vocoder_chunks import ChunkedVocoder, chunk_spans
from ....uniavgen_core.media.audio.vocos import Vocos
from ..model_folders import names_in, path_of
from ..notices import interruptible_progress

KEY = "vocoders"
VOCODER_FILES = (CONFIG_FILE, VOCOS_CONFIG, PICKLED_WEIGHTS)
BIGVGAN_BYTES_PER_FRAME = 400_000  # 259,000 are allocated at the peak; the rest is for the workspaces of convolutions
VOCOS_BYTES_PER_ROW = 80  # of the widest layer, per mel frame; at most 66 are allocated at the peak
folder_paths.add_model_folder_path(KEY, str(Path(folder_paths.models_dir) / KEY))


class HostedVocoder:
    """A vocoder that ComfyUI loads before use and may unload afterwards.

    It always runs in float32, because both kinds of vocoders compute sines of their activations. With random weights
    at a sixth of BigVGAN's width, the measured noise is 17 dB below the sound in bfloat16 and 107 dB below in float32.
    The memory cost is small: the release's vocoder has 115 million weights (0.46 GB) and, thanks to chunks, at most
    0.24 GB of activations.

    Attributes:
        identity: Names, sizes and times of the folder's files, by which vocoders differ.
        notices: Harmless oddities of the folder, in whole sentences.
    """

    def __init__(self, folder: Path) -> None:
        management = comfy.model_management
        self.notices: list[str] = []
        cancel = management.throw_exception_if_processing_interrupted
        if is_vocos(folder):
            self.vocoder = vocoder = Vocos(load_vocos(folder, self.notices.append, cancel))
        else:
            self.vocoder = vocoder = BigVGAN(load_bigvgan(folder, self.notices.append, cancel))
        stats = [(file.name, file.stat()) for file in sorted(folder.iterdir()) if is_file(file)]
        self.identity = tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
        # The layers are not ComfyUI's, so the patcher that streams single weights cannot be used.
        self.patcher = comfy.model_patcher.ModelPatcher(
            vocoder, load_device=management.vae_device(), offload_device=management.vae_offload_device()
        )

    def decode(self, log_mel: Tensor) -> Tensor:
        """Decode log-mel (B, 80, F) to sound (B, 240 F) on the CPU; memory does not grow with F."""
        num_frames, chunk_frames = log_mel.shape[-1], self.vocoder.chunk_frames
        frames_at_once = min(num_frames, chunk_frames + 2 * self.vocoder.margin)
        comfy.model_management.load_models_gpu(
            [self.patcher], memory_required=frames_at_once * bytes_per_mel_frame(self.vocoder), force_full_load=True
        )
        # The mel goes to the device of the weights, because with --novram ComfyUI does not move them.
        device = next(self.vocoder.parameters()).device
        after_chunk = interruptible_progress(len(log_mel) * len(chunk_spans(num_frames, chunk_frames)))
        with tf32_mode(cudnn=False, matmul=False):  # with TF32, NVIDIA cards keep only ten bits of every mantissa
            return self.vocoder.decode(log_mel.to(device), after_chunk)


def bytes_per_mel_frame(vocoder: ChunkedVocoder) -> int:
    """Peak memory of the activations, bytes per mel frame of a chunk and its margins."""
    if isinstance(vocoder, BigVGAN):
        return BIGVGAN_BYTES_PER_FRAME
    return VOCOS_BYTES_PER_ROW * max(weight.shape[0] for weight in vocoder.parameters() if weight.ndim > 1)


def vocoder_folders() -> dict[str, Path]:
    """Folders with at least one file of a vocoder, by their name in the loader."""
    found = {}
    for key in (KEY, "diffusion_models"):
        for name in names_in(key):
            parent = PurePath(name).parent
            is_vocoder_file = name.endswith(".safetensors") or PurePath(name).name in VOCODER_FILES
            if is_vocoder_file and (key == KEY or parent.name == VOCODER_FOLDER):
                path = path_of(key, name)
                if path is not None:
                    found.setdefault(parent.as_posix() if parent.name else path.parent.name, path.parent)
    return found


def vocoder_choices() -> list[str]:
    """Names of the vocoder folders; the release's is always offered, so that a message can say where to get it."""
    found = vocoder_folders()
    names = sorted(found)
    return names if any(PurePath(name).name == VOCODER_FOLDER for name in names) else [VOCODER_FOLDER, *names]


def find_vocoder(name: str) -> Path:
    """Find the folder of a vocoder.

    Workflows from other installations may name another parent folder, so the last part of the name is enough.

    Raises:
        VocoderError: If there is none; says where to get it and where to put it.
    """
    found = vocoder_folders()
    namesakes = [path for other, path in found.items() if PurePath(other).name == PurePath(name).name]
    if name in found or namesakes:
        return found.get(name) or namesakes[0]
    raise VocoderError(f"There is no vocoder folder '{name}'. {_remedy()}")


def load_vocoder(name: str) -> HostedVocoder:
    """Load a vocoder by its name in the loader.

    Raises:
        VocoderError: If its folder is missing or damaged; says what to do.
    """
    folder = find_vocoder(name)
    try:
        with naming(folder):
            return HostedVocoder(folder)
    except CheckpointError as error:
        raise VocoderError(f"{error} {_vocos_remedy() if is_vocos(folder) else _remedy()}") from error


def _remedy() -> str:
    target = Path(folder_paths.get_folder_paths(KEY)[0]) / VOCODER_FOLDER
    return (
        f"Download the folder {VOCODER_FOLDER} ({CONFIG_FILE} and {WEIGHTS_FILE}) from huggingface.co/MCG-NJU/UniAVGen "
        f"to {target}, or choose Griffin-Lim, which needs no file."
    )


def _vocos_remedy() -> str:
    return (
        f"A Vocos is a folder of {VOCOS_CONFIG} and {PICKLED_WEIGHTS}, trained on UniAVGen's mel; none is published. "
        f"Repair it, or choose {VOCODER_FOLDER}, or Griffin-Lim, which needs no file."
    )
