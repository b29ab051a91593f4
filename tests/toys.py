"""A network small enough for a test, with random weights everywhere, and clips for it."""

from copy import copy
from dataclasses import dataclass, field, replace

import torch

from tests.parity.fixtures import seeded_tensor
from uniavgen_core.config import BranchConfig, Interaction, ModelConfig, TextConfig
from uniavgen_core.layers.backend import TORCH
from uniavgen_core.model.joint import Conditions, JointModel

TINY = ModelConfig(
    video=BranchConfig(24, 32, 2),
    audio=BranchConfig(16, 24, 2),
    text=TextConfig(vocabulary=12, speech_dim=8, speech_ffn_dim=16, speech_blocks=1, caption_dim=6, caption_length=5),
    num_layers=3,
    num_interactions=2,
    patch_size=2,
    latent_channels=3,
    mel_bins=5,
    time_dim=8,
)


def with_variant(config=TINY, **changes):
    return replace(config, variant=replace(config.variant, **changes))


def random_model(config=TINY, form=JointModel, dtype=torch.float64, backend=TORCH):
    """A network in which nothing is zero, so that everything that can have an effect has one."""
    model = form(config, backend)
    weights = {name: seeded_tensor(name, tensor.shape, dtype) for name, tensor in model.state_dict().items()}
    model.load_state_dict(weights, assign=True)
    return model.eval()


@dataclass
class Clip:
    """Random inputs of one pass."""

    batch: int = 1
    latents: int = 4
    tokens: int = 26
    size: tuple[int, int] = (4, 6)
    voice: int = 0
    image: bool = True
    kept: tuple = (None, None)
    dtype: torch.dtype = torch.float64
    config: ModelConfig = TINY
    interaction: Interaction = Interaction.BOTH
    skip_layer: int | None = None
    seed: int = 0
    inputs: dict = field(init=False)

    def __post_init__(self):
        generator = torch.Generator().manual_seed(self.seed)

        def draw(*shape):
            return torch.randn(shape, generator=generator, dtype=torch.float64).to(self.dtype)

        config, batch = self.config, self.batch
        self.video = draw(batch, config.latent_channels, self.latents, *self.size)
        self.audio = draw(batch, self.tokens, config.mel_bins)
        self.times = (
            torch.rand(batch, self.latents, generator=generator) * 1000,
            torch.rand(batch, self.tokens, generator=generator) * 1000,
        )
        self.conditions = Conditions(
            caption=draw(batch, 3, config.text.caption_dim),
            speech_ids=torch.randint(-1, config.text.vocabulary - 1, (batch, 7), generator=generator),
            speech_lengths=torch.randint(2, 8, (batch,), generator=generator),
            reference_image=draw(batch, config.latent_channels, 1, *self.size) if self.image else None,
            reference_audio=draw(batch, self.voice, config.mel_bins) if self.voice else None,
            interaction=self.interaction,
            skip_layer=self.skip_layer,
        )
        self.inputs = {"video": self.video, "audio": self.audio, "timesteps": self.times, "keep_masks": self.kept}

    def run(self, model):
        return model(conditions=self.conditions, **self.inputs)

    def reordered(self, order):
        """The same clips in another order within the batch."""
        other = copy(self)
        tensors = {name: value[order] for name, value in vars(self.conditions).items() if torch.is_tensor(value)}
        other.conditions = replace(self.conditions, **tensors)
        pick = tuple(None if mask is None else mask[order] for mask in self.kept)
        other.video, other.audio = self.video[order], self.audio[order]
        times = tuple(time[order] for time in self.times)
        other.inputs = {"video": other.video, "audio": other.audio, "timesteps": times, "keep_masks": pick}
        return other
