"""Preview colours are the linear part of what a codec paints."""

import torch

from toon.training.preview_colours import fit_preview


class LinearCodec:
    """Paints every latent's block in a colour that is a fixed linear map of its channels."""

    def __init__(self):
        self.map = torch.randn(48, 3, generator=torch.Generator().manual_seed(0)) * 0.1

    def decode(self, latent):
        colours = torch.einsum("bcthw,ck->bkthw", latent, self.map) + 0.25
        return colours.repeat_interleave(16, dim=-1).repeat_interleave(16, dim=-2)


def test_a_linear_codec_is_recovered():
    codec = LinearCodec()
    latents = torch.randn(64, 48, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    colours = fit_preview(codec, latents)
    assert torch.allclose(torch.tensor(colours["factors"]), codec.map, atol=0.02)
    assert torch.allclose(torch.tensor(colours["bias"]), torch.full((3,), 0.25), atol=0.02)
