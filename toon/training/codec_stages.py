"""The stages of the recipe that train the video codec: all of it, or its decoder alone."""

from dataclasses import replace

import torch
from torch.optim import AdamW

from uniavgen_core.bundled.bundled_files import load_codec
from uniavgen_core.bundled.video_codec import VideoCodec
from uniavgen_core.training.batch_part import Objective
from uniavgen_core.training.trainer_config import TrainerConfig

from ..clips.world import LIVELY, STEADY, World
from .codec_training import CodecTraining, codec_clips, codec_objective
from .estimated_clips import estimate_objective, estimated_clips
from .recipe import CODEC_SEED, ESTIMATE_SEED, Recipe, starting_model, train

ESTIMATED_CHUNKS = 8
"""Chunks in a step of the decoder's training on estimates: whole pictures, as large as 32 crops."""
REFINED = CodecTraining(
    learning_rate=1e-3, mouth_share=0.35, still_share=0.25, latent_noise=0.2, motion_weight=6.0, residual_weight=1.0,
    edge_weight=0.6, anchor=0.02,
)  # fmt: skip
"""Further training of the codec: mouths move by then, but crops at mouths have left hair and shoulders blurred."""
DECODER_ALONE = replace(REFINED, decoder_only=True, latent_noise=0.35, detail_weight=2.5)
"""The decoder alone, for latents as far off as the network's, with edges as strong as the true ones."""


def train_codec(recipe: Recipe) -> bool:
    """Train the video codec."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        codec = VideoCodec()
    return _train_on_clips(recipe, "codec", codec, CodecTraining(clips=recipe.codec_clips), (recipe.world,))


def train_refine(recipe: Recipe) -> bool:
    """Train the codec further on all of the picture, with latents held near where they were."""
    path = recipe.unrefined_codec
    codec, earlier = load_codec(path).train(), load_codec(path).requires_grad_(False)
    config, seeded = replace(REFINED, clips=recipe.codec_clips), replace(recipe, seed=recipe.seed + 3)
    return _train_on_clips(seeded, "refine", codec, config, (recipe.world,), earlier)


def train_decoder(recipe: Recipe) -> bool:
    """Train the decoder, which both worlds share, further, for latents as far off as the network's; they stay."""
    codec = load_codec(recipe.known_codec).train()
    codec.encoder.requires_grad_(False)
    config = replace(DECODER_ALONE, clips=recipe.codec_clips)
    seeded = replace(recipe, seed=recipe.seed + 1)
    return _train_on_clips(seeded, "decoder", codec, config, (STEADY, LIVELY))


def train_on_estimates(recipe: Recipe) -> bool:
    """Train the decoder further on clips as the network estimates them; latents stay as they are."""
    codec = load_codec(recipe.known_decoder).train()
    codec.encoder.requires_grad_(False)
    network = starting_model(recipe, "settle").eval()
    clips = estimated_clips(network, codec, recipe.estimated, ESTIMATE_SEED, recipe.world)
    objective = estimate_objective(clips, DECODER_ALONE, recipe.seed)
    return _train_part(recipe, codec, DECODER_ALONE, objective, recipe.run("estimates", ESTIMATED_CHUNKS))


def _train_on_clips(
    recipe: Recipe, name: str, codec: VideoCodec, config: CodecTraining, worlds: tuple[World, ...],
    earlier: VideoCodec | None = None,
) -> bool:  # fmt: skip
    """Train all of the codec, or its decoder alone, on clips of some worlds."""
    objective = codec_objective(codec_clips(config.clips, CODEC_SEED, *worlds), config, recipe.seed, earlier)
    return _train_part(recipe, codec, config, objective, recipe.run(name, recipe.codec_batch))


def _train_part(
    recipe: Recipe, codec: VideoCodec, config: CodecTraining, objective: Objective, run: TrainerConfig
) -> bool:
    """Train all of the codec, or its decoder alone, for an objective."""
    codec.to(memory_format=torch.channels_last)
    trained = codec.decoder if config.decoder_only else codec
    adam = AdamW(trained.parameters(), config.learning_rate, betas=(0.9, 0.99), weight_decay=1e-3)
    return train(recipe, codec, [adam], objective, replace(run, average=0.998))
