"""Prepare a run: the network with its starting weights, the optimizer and the data that its file asks for.

Weights are float32; the engine runs matrix products in bfloat16.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from ..checkpoint.config_from_weights import config_from_shapes
from ..checkpoint.load_weights import OPTIONAL
from ..checkpoint.own_sampling import OwnSampling
from ..checkpoint.trained_on import TrainedOn, metadata_of_clips
from ..checkpoint.wan_files import load_wan_branch
from ..checkpoint.weight_files import WeightFiles
from ..checkpoint.weight_fit import check_fit
from ..config import ModelConfig, from_dict, to_dict
from ..model.initialize import initialize
from ..model.joint import JointModel
from .batch_part import Objective
from .data.encoded_clips import EncodedClips, load_source
from .distill.distill_objective import distill_objective
from .estimate import AUDIO_BRANCH
from .gradient_checkpointing import RecomputedModel
from .learned_guidance import stage_objective
from .lora import ADAPTER, LoraPlan, add_lora, start_from_lora
from .paper_stages import AdamConfig
from .plugins import attribute_of, model_config_of
from .run_config import RunConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

NOTE = "network.json"


def build_model(run: RunConfig, device: torch.device) -> JointModel:
    """The network with its starting weights, float32, what is not trained frozen.

    Raises:
        CheckpointError: If a file does not fit.
    """
    files = None if run.start is None else WeightFiles(run.start)
    config = model_config_of(run.model) if files is None else config_from_shapes(files.shapes, files.metadata)
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(run.seed)
        model = (RecomputedModel if run.checkpointing else JointModel)(config)
        initialize(model)
    if files is not None:
        check_fit(files.shapes, {name: value.shape for name, value in model.state_dict().items()}, OPTIONAL)
        _copy_into(model, files)
    if run.video_from is not None:
        load_wan_branch(model, run.video_from)
    if run.audio_from is not None:
        load_audio_branch(model, run.audio_from)
    if run.plan is not None:
        with torch.random.fork_rng():
            torch.manual_seed(run.seed)
            add_lora(model, run.plan, (ADAPTER,) if run.distillation is None else run.distillation.adapters)
        if run.lora_from is not None:
            start_from_lora(model, run.lora_from, run.plan)
    elif run.preset.audio_alone:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(AUDIO_BRANCH))
    return model


def load_audio_branch(model: JointModel, path: Path | str) -> None:
    """Set the audio branch to that of a file of ours; the rest of the network stays as it is.

    Raises:
        CheckpointError: If the file's audio branch does not fit.
    """
    files = WeightFiles(path)
    own = {name: value.shape for name, value in model.state_dict().items() if name.startswith(AUDIO_BRANCH)}
    check_fit({name: shape for name, shape in files.shapes.items() if name.startswith(AUDIO_BRANCH)}, own, OPTIONAL)
    _copy_into(model, files, AUDIO_BRANCH)


@torch.no_grad()
def _copy_into(model: JointModel, files: WeightFiles, starts: str | tuple[str, ...] = "") -> None:
    own = model.state_dict()
    for name, value in files.tensors():
        if name.startswith(starts) and name in own:
            own[name].copy_(value)


def make_adam(model: nn.Module, config: AdamConfig) -> Optimizer:
    """AdamW for all weights in training."""
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # The fused kernel needs no second copy of all weights while it works.
    fused = weights[0].device.type == "cuda"
    return AdamW(weights, config.rate, config.betas, config.epsilon, config.decay, fused=fused)


def open_data(run: RunConfig, model: ModelConfig, accelerator: "Accelerator") -> EncodedClips:
    """The run's clips; those that a package makes are encoded first, by one process, where they are not yet there."""
    from .data.clip_sources import open_source
    from .data.encode_clips import EncodeConfig, encode_source

    data = run.data
    form = attribute_of(data.partition(":")[0], "CLIP_FORM") if isinstance(data, str) else None
    if form is None or not isinstance(data, str):
        return load_source(data, model.text, run.preset.source)
    encoded = Path(run.folder) / data.replace(":", "-")
    with accelerator.main_process_first():
        if accelerator.is_main_process:
            encode_source(open_source(data), EncodeConfig(encoded, form))
    return load_source(encoded, model.text, run.preset.source)


def objective_of(run: RunConfig, source: EncodedClips) -> Objective:
    """Batches and losses of the run."""
    tasks, distillation = run.preset.tasks, run.distillation
    if distillation is not None:
        return distill_objective(source, tasks, distillation, run.seed)
    return stage_objective(source, tasks, run.seed, run.learned_guidance)


def write_note(
    home: Path, model: ModelConfig, plan: LoraPlan | None, metadata: Mapping[str, str] | None = None
) -> None:
    """Note beside a run's checkpoints what is in them, so that they can be exported.

    Args:
        home: The run's folder.
        model: The network.
        plan: Its adapters; None for none.
        metadata: What the run adds to its exported files; see ``metadata_of_run``.
    """
    home.mkdir(parents=True, exist_ok=True)
    note = {"model": to_dict(model), "lora": None if plan is None else to_dict(plan), "metadata": dict(metadata or {})}
    (home / NOTE).write_text(json.dumps(note, indent=1), encoding="utf-8")


def metadata_of_run(run: RunConfig, seen: TrainedOn | None) -> dict[str, str]:
    """Metadata of a run's files: the clips it is trained on, if they are known, and how its network is sampled."""
    metadata = {} if seen is None else metadata_of_clips(seen)
    metadata |= {} if run.distillation is None else run.distillation.metadata
    return metadata | ({} if run.learned_guidance is None else OwnSampling(guided=False).metadata)


def read_note(home: Path) -> tuple[ModelConfig, LoraPlan | None]:
    """The network and its adapters of the run in a folder.

    Raises:
        ValueError: If nothing is noted there.
    """
    note = _note_of(home)
    plan = None if note["lora"] is None else from_dict(LoraPlan, note["lora"])
    return from_dict(ModelConfig, note["model"]), plan


def read_metadata(home: Path) -> dict[str, str]:
    """Read the metadata that the run in a folder adds to its exported files; see ``read_note``."""
    return _note_of(home).get("metadata", {})


def _note_of(home: Path) -> dict:
    try:
        return json.loads((home / NOTE).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{home} has no {NOTE}, so it is no run's folder.") from error
