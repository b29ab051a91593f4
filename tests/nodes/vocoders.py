"""What tests of vocoder folders share."""

import comfy.model_management
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


def memory_asked(codec, monkeypatch, lengths):
    """Memory that the codec asks ComfyUI for, bytes, and whether for the whole network, for clips of some lengths."""
    asked, real = [], comfy.model_management.load_models_gpu

    def note(models, memory_required=0, force_full_load=False, **others):
        asked.append((memory_required, force_full_load))
        return real(models, memory_required=memory_required, force_full_load=force_full_load, **others)

    monkeypatch.setattr(comfy.model_management, "load_models_gpu", note)
    with torch.inference_mode():
        for mel_frames in lengths:
            codec.decode(latent_of(mel_frames))
    return asked
