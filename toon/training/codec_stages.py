"""The stages of the recipe that train the video codec: all of it, or its decoder alone."""

from dataclasses import replace

import torch
from torch.optim import AdamW

from uniavgen_core.bundled.bundled_files import load_codec
from uniavgen_core.bundled.video_codec import VideoCodec

from ..clips.world import LIVELY, STEADY
from .adversarial_decoder import AdversarialCodec, AdversarialConfig, PatchDiscriminator, adversarial_objective
from .codec_training import CodecTraining, codec_clips, codec_objective
from .recipe import CODEC_SEED, Recipe, train

REFINED = CodecTraining(
    learning_rate=1e-3, mouth_share=0.35, still_share=0.25, latent_noise=0.2, motion_weight=6.0, residual_weight=1.0,
    edge_weight=0.6, anchor=0.02,
)  # fmt: skip
"""Further training of the codec: mouths move by then, but crops at mouths have left hair and shoulders blurred."""
DECODER_ALONE = replace(REFINED, decoder_only=True, latent_noise=0.35)
"""The decoder alone, for latents as far off as the network's."""
ADVERSARIAL = AdversarialConfig()


def train_codec(recipe: Recipe) -> bool:
    """Train the video codec."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        codec = VideoCodec()
    return _train_codec_part(recipe, "codec", codec, CodecTraining(clips=recipe.codec_clips))


def train_refine(recipe: Recipe) -> bool:
    """Train the codec further on all of the picture, with latents held near where they were."""
    path = recipe.unrefined_codec
    codec, earlier = load_codec(path).train(), load_codec(path).requires_grad_(False)
    config, seeded = replace(REFINED, clips=recipe.codec_clips), replace(recipe, seed=recipe.seed + 3)
    return _train_codec_part(seeded, "refine", codec, config, earlier)


def train_decoder(recipe: Recipe) -> bool:
    """Train the codec's decoder further, for latents as far off as the network's; they stay as they are."""
    codec = load_codec(recipe.known_codec).train()
    codec.encoder.requires_grad_(False)
    config = replace(DECODER_ALONE, clips=recipe.codec_clips)
    seeded = replace(recipe, seed=recipe.seed + 1)
    return _train_codec_part(seeded, "decoder", codec, config)


def train_sharpen(recipe: Recipe) -> bool:
    """Train the codec's decoder against a discriminator, on clips of both worlds: they share their latents."""
    path = recipe.decoder_path if recipe.decoder_path.exists() else recipe.known_codec
    codec = load_codec(path).train()
    codec.encoder.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed + 4)
        model = AdversarialCodec(codec, PatchDiscriminator(ADVERSARIAL.width)).to(memory_format=torch.channels_last)
    adam = AdamW(
        [*codec.decoder.parameters(), *model.discriminator.parameters()], ADVERSARIAL.learning_rate, betas=(0.5, 0.99)
    )
    clips = codec_clips(recipe.codec_clips, CODEC_SEED, STEADY, LIVELY)
    objective = adversarial_objective(clips, DECODER_ALONE, ADVERSARIAL, recipe.seed + 4)
    return train(recipe, model, [adam], objective, replace(recipe.run("sharpen"), average=0.995))


def _train_codec_part(
    recipe: Recipe, name: str, codec: VideoCodec, config: CodecTraining, earlier: VideoCodec | None = None
) -> bool:
    """Train all of the codec, or its decoder alone."""
    codec.to(memory_format=torch.channels_last)
    trained = codec.decoder if config.decoder_only else codec
    adam = AdamW(trained.parameters(), config.learning_rate, betas=(0.9, 0.99), weight_decay=1e-3)
    objective = codec_objective(codec_clips(config.clips, CODEC_SEED, recipe.world), config, recipe.seed, earlier)
    return train(recipe, codec, [adam], objective, replace(recipe.run(name, recipe.codec_batch), average=0.998))
