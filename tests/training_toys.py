"""A tiny network and clips of noise, to take training steps with."""

from dataclasses import replace

import numpy as np
import torch

from uniavgen_core.config import TOON, BranchConfig
from uniavgen_core.model.conditions import Conditions
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import JointModel
from uniavgen_core.tasks import JOINT, Keep
from uniavgen_core.text.speech_tensors import SpokenText, speech_id_tensors
from uniavgen_core.training.batch_part import Part
from uniavgen_core.training.flow_matching import CleanClips

TINY = replace(TOON, video=BranchConfig(16, 32, 2), audio=BranchConfig(16, 32, 2), num_layers=2, num_interactions=1)


def tiny_model(seed=0):
    torch.manual_seed(seed)
    model = JointModel(TINY)
    initialize(model)
    for parameter in model.parameters():
        if parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def clips_of(task=JOINT, count=2, latent_frames=3, mel_frames=36):
    """Clips of noise with the parts that a task keeps."""
    ids, lengths = speech_id_tensors([SpokenText("hello red fish"), SpokenText(None)])
    video = torch.randn(count, 48, latent_frames, 2, 2)
    return CleanClips(
        video=video,
        audio=torch.randn(count, mel_frames, 80),
        video_keep_mask=(torch.arange(latent_frames) < (latent_frames if task.video is Keep.ALL else 1)).repeat(
            count, 1
        ),
        audio_keep_mask=torch.full((count, mel_frames), task.audio is Keep.ALL),
        face=torch.rand(count, latent_frames, 2, 2),
        mouth=torch.rand(count, latent_frames, 2, 2),
        conditions=Conditions(
            torch.randn(count, 4, 64), ids, lengths, reference_image=video[:, :, :1], interaction=task.interaction
        ),
    )


class ToyClips:
    """Clips of noise, each from its own generator; a ``TrainingClips``."""

    def draw_clips(self, sample, shared, own):
        del shared

        def draw(*shape):
            return torch.from_numpy(np.stack([random.random(shape, dtype=np.float32) for random in own]))

        clips, count = clips_of(sample.task), len(own)
        video, caption = 2 * draw(48, 3, 2, 2) - 1, draw(4, 64)
        conditions = replace(
            clips.conditions,
            caption=0 * caption if sample.text_dropout == 1 else caption,
            speech_ids=clips.conditions.speech_ids[:1].expand(count, -1),
            speech_lengths=clips.conditions.speech_lengths[:1].expand(count),
            reference_image=video[:, :, :1],
            interaction=sample.interaction,
        )
        kept = (clips.video_keep_mask, clips.audio_keep_mask)
        video_kept, audio_kept = (mask[:1].expand(count, -1) for mask in kept)
        return CleanClips(video, 2 * draw(36, 80) - 1, video_kept, audio_kept, draw(3, 2, 2), draw(3, 2, 2), conditions)


def own(count=2, seed=1):
    return Part(0, 0, count).own(seed)
