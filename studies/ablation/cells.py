"""The cells of the study: the differences between the small models, and their common settings."""

from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from toon.clips import TEXT_POSITION_OFFSET, TEXT_POSITION_SCALE
from uniavgen_core.config import (
    RELEASE,
    TOON,
    AfterShare,
    Alignment,
    BranchConfig,
    GuidanceConfig,
    ModelConfig,
    Placement,
    Position,
    Variant,
)

CLIP_SEED, HELD_OUT_SEED = 9_000_000, 9_500_000
"""First seeds of the training clips and of the held-out clips, reserved for this study."""


class MaskLoss(Enum):
    """Weight of the face-mask loss over a run."""

    NONE = "none"
    FIXED = "fixed"
    DECAYING = "decaying"

    def weight(self, progress: float) -> float:
        """Weight at a progress in [0, 1): 1, or from 1 to 0. The paper's is 0.1, over forty times as many steps."""
        return {MaskLoss.NONE: 0.0, MaskLoss.FIXED: 1.0, MaskLoss.DECAYING: 1.0 - progress}[self]


@dataclass(frozen=True)
class Cell:
    """One way to build and train a model; the defaults are the base cell, which is the paper's own choice.

    Attributes:
        dense: Whether the placement uses every layer instead of half of them.
        mask_loss: Weight of the face-mask loss.
        tasks_from: Progress from which the five tasks are sampled instead of joint generation alone; 1 for never.
    """

    name: str
    variant: Variant = RELEASE
    placement: Placement = Placement.INTERLEAVED
    dense: bool = False
    mask_loss: MaskLoss = MaskLoss.DECAYING
    tasks_from: float = 1.0


def _aligned(a2v: Alignment, v2a: Alignment) -> Cell:
    variant = replace(RELEASE, a2v_alignment=a2v, v2a_alignment=v2a)
    return Cell(f"{a2v.value}-{v2a.value}", variant)


BASE = Cell("base")
CELLS = (
    BASE,
    _aligned(Alignment.GLOBAL, Alignment.GLOBAL),
    _aligned(Alignment.TEMPORAL, Alignment.TEMPORAL),
    Cell("mask-absent", replace(RELEASE, face_modulation=False), mask_loss=MaskLoss.NONE),
    Cell("mask-unsupervised", mask_loss=MaskLoss.NONE),
    Cell("mask-fixed", mask_loss=MaskLoss.FIXED),
    Cell("layers-first", placement=Placement.FIRST),
    Cell("layers-last", placement=Placement.LAST),
    Cell("layers-all", placement=Placement.FIRST, dense=True),
    Cell("before-ffn", replace(RELEASE, position=Position.BEFORE_FFN)),
    Cell("before-cross-attention", replace(RELEASE, position=Position.BEFORE_CROSS_ATTENTION)),
    Cell("then-tasks", tasks_from=0.6),
    _aligned(Alignment.ASYMMETRIC, Alignment.TEMPORAL),
    _aligned(Alignment.TEMPORAL, Alignment.ASYMMETRIC),
)
"""The cells in the order of their runs, with the paper's main claims first."""


def cell_named(name: str) -> Cell:
    """Find a cell.

    Raises:
        ValueError: If there is no cell of that name.
    """
    for cell in CELLS:
        if cell.name == name:
            return cell
    raise ValueError(f"There is no cell named {name!r}; there are {', '.join(cell.name for cell in CELLS)}.")


@dataclass(frozen=True)
class Study:
    """Settings that all cells share.

    Attributes:
        patch_size: Latent pixels per token side.
        held_out: Number of held-out clips, with sentences that are not in the training clips.
        pretrain_steps: Steps of both branches without interaction, once per seed, from which every cell starts.
        sample_steps: Euler steps of generated clips.
        scale: Guidance scale of both modalities in the cells' measurements.
        judges: Clips and training steps of this study's judges, as a share of those of the evaluation's judges.
    """

    dim: int = 96
    num_layers: int = 4
    patch_size: int = 2
    video_frames: int = 25
    clips: int = 1500
    held_out: int = 64
    batch: int = 8
    pretrain_steps: int = 1200
    steps: int = 700
    sample_steps: int = 12
    scale: float = 2.0
    judges: float = 0.75

    def model_config(self, cell: Cell) -> ModelConfig:
        """Configuration of a cell's network."""
        branch = BranchConfig(self.dim, 4 * self.dim, self.dim // 32)
        text = replace(
            TOON.text,
            speech_dim=self.dim,
            speech_ffn_dim=2 * self.dim,
            position_offset=TEXT_POSITION_OFFSET,
            position_scale=TEXT_POSITION_SCALE,
        )
        return ModelConfig(
            video=branch,
            audio=branch,
            text=text,
            num_layers=self.num_layers,
            num_interactions=self.num_layers if cell.dense else self.num_layers // 2,
            placement=cell.placement,
            patch_size=self.patch_size,
            time_dim=64,
            variant=cell.variant,
        )

    @property
    def guidance(self) -> dict[str, GuidanceConfig]:
        """Kinds of guidance, by name; ``first half`` is how the cells are measured."""
        both = GuidanceConfig(self.scale, self.scale, skip_layer=None)
        return {
            "none": replace(both, video_scale=1.0, audio_scale=1.0),
            "text": replace(both, modality_aware_share=0.0),
            "always": replace(both, modality_aware_share=1.0),
            "first half, then none": replace(both, after_share=AfterShare.NONE),
            "first half": both,
        }

    @property
    def curves(self) -> dict[str, GuidanceConfig]:
        """Guidance of the first half at other scales, by name."""
        scales = [value for value in (1.0, 1.5, 3.0, 4.0) if value != self.scale]
        base = self.guidance["first half"]
        return {f"s_v {value:g}": replace(base, video_scale=value) for value in scales} | {
            f"s_a {value:g}": replace(base, audio_scale=value) for value in scales
        }


@dataclass(frozen=True)
class Place:
    """Paths of a study's files in its work folder."""

    work: Path

    def pretrained(self, seed: int) -> Path:
        """Initial weights of the cells of a seed."""
        return self.work / "pretrained" / f"seed-{seed}.safetensors"

    def result(self, name: str, seed: int) -> Path:
        """Result of one run."""
        return self.work / "runs" / f"{name}-seed-{seed}.json"

    def weights(self, name: str, seed: int) -> Path:
        """Averaged weights of one run."""
        return self.work / "weights" / f"{name}-seed-{seed}.safetensors"
