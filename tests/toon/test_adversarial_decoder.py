"""Adversarial training that sharpens the codec's decoder."""

import torch
import torch.nn.functional as F
from torch.optim import Adam

from toon.training import __main__ as bundle
from toon.training.adversarial_decoder import (
    AdversarialCodec,
    AdversarialConfig,
    PatchDiscriminator,
    adversarial_losses,
    discriminator_loss,
    generator_losses,
)
from toon.training.codec_training import CodecTraining
from toon.training.recipe import Recipe
from uniavgen_core.bundled.bundled_files import BUNDLED_VIDEO_CODEC, load_codec

from .test_clip_shards import noisy


def edges(count, seed):
    """Chunks with one vertical edge at a place that chance decides, (N, 4, 3, 16, 16)."""
    places = torch.randint(4, 12, (count, 1, 1, 1, 1), generator=torch.Generator().manual_seed(seed))
    return (torch.arange(16) >= places).float().expand(count, 4, 3, 16, 16) * 2 - 1


def blurred(chunks):
    return F.avg_pool2d(F.pad(chunks.flatten(0, 1), (2, 2, 2, 2), mode="replicate"), 5, 1).view_as(chunks)


def trained_discriminator(steps=40):
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(8)
    adam = Adam(discriminator.parameters(), 3e-3, betas=(0.5, 0.99))
    for step in range(steps):
        true = edges(8, step)
        adam.zero_grad()
        discriminator_loss(discriminator, true, blurred(true)).backward()
        adam.step()
    return discriminator.eval()


def test_a_discriminator_takes_sharp_edges_for_true_and_its_gradient_sharpens_blurred_ones():
    discriminator, true = trained_discriminator(), edges(8, 1000)
    decoded = blurred(true).requires_grad_()
    adversarial, matching = generator_losses(discriminator, true, decoded)
    assert adversarial > generator_losses(discriminator, true, true)[0] + 0.5
    assert matching > 0.05
    assert generator_losses(discriminator, true, true)[1] == 0
    (adversarial + matching).backward()
    moved = decoded.detach() - 0.2 * decoded.grad / decoded.grad.abs().mean()
    contrast = [chunks.diff(dim=-1).square().mean().item() for chunks in (decoded.detach(), moved)]
    assert contrast[1] > contrast[0]


def test_decoder_and_discriminator_each_learn_from_their_own_losses_alone():
    torch.manual_seed(0)
    model, chunks = (
        AdversarialCodec(load_codec(BUNDLED_VIDEO_CODEC), PatchDiscriminator(8)),
        torch.rand(2, 4, 3, 32, 32),
    )
    decoded = model.codec.decoder(torch.zeros(2, 48, 2, 2))
    discriminator_loss(model.discriminator, chunks, decoded).backward()
    assert all(parameter.grad is None for parameter in model.codec.parameters())
    model.zero_grad()
    sum(generator_losses(model.discriminator, chunks, decoded)).backward()
    assert all(parameter.grad is None for parameter in model.discriminator.parameters())
    assert all(parameter.grad is not None for parameter in model.codec.decoder.parameters())


def test_the_sum_of_losses_is_weighted_as_configured_and_leaves_the_encoder_alone():
    torch.manual_seed(0)
    model = AdversarialCodec(load_codec(BUNDLED_VIDEO_CODEC).train(), PatchDiscriminator(8)).eval()
    losses = adversarial_losses(
        model,
        noisy(torch.rand(2, 4, 3, 32, 32)),
        CodecTraining(),
        AdversarialConfig(adversarial_weight=0.5, matching_weight=3.0),
    )
    expected = losses["distance"] + losses["discriminator"] + 0.5 * losses["adversarial"] + 3 * losses["matching"]
    torch.testing.assert_close(losses["loss"], expected)
    losses["loss"].backward()
    assert all(parameter.grad is None for parameter in model.codec.encoder.parameters())


def test_the_stage_sharpens_the_shipped_decoder_and_leaves_its_latents(tmp_path, monkeypatch):
    small = Recipe(tmp_path, sharpen_steps=2, codec_clips=2, batch=2, workers=1, threads=1, shipped=BUNDLED_VIDEO_CODEC)
    monkeypatch.setattr(bundle, "recipe_of", lambda _: small)
    assert bundle.main(["--stage", "sharpen"]) == 0
    before, after = load_codec(BUNDLED_VIDEO_CODEC), load_codec(small.sharp_path)
    assert all(torch.equal(a, b) for a, b in zip(before.encoder.parameters(), after.encoder.parameters(), strict=True))
    assert torch.equal(before.latent_mean, after.latent_mean)
    assert any(
        not torch.equal(a, b) for a, b in zip(before.decoder.parameters(), after.decoder.parameters(), strict=True)
    )
