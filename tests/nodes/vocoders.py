"""What tests of vocoder folders share."""

import torch


def latent_of(mel_frames, tracks=1):
    """An audio latent of one clip, seeded by its length, (1, K, S, 80)."""
    generator = torch.Generator().manual_seed(mel_frames)
    return torch.randn(1, tracks, mel_frames, 80, generator=generator)


def options_of(node):
    """What the loader offers."""
    return node.define_schema().inputs[0].options


def audio_codec_of(node, name):
    """The codec that the loader makes of a choice."""
    with torch.inference_mode():
        return node.execute(name).args[0]
