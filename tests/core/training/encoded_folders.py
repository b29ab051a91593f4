"""Folders of encoded clips that are made up, to draw examples from."""

import torch

from uniavgen_core.shapes import mel_frames_of, video_frames_of
from uniavgen_core.training.data.clip_record import ClipRecord
from uniavgen_core.training.data.clip_store import claim_folder, write_clip, write_lines, write_null_caption

NULL = -7.0
"""Every number of the empty caption's features."""


def encode(folder, clips, dim=64, encoders="bundled", faces="find"):
    """A folder of clips whose every number tells which clip it is; (speaker, latent frames, columns) for each."""
    claim_folder(folder, {"encoders": encoders, "faces": faces})
    write_null_caption(folder, torch.full((1, dim), NULL))
    entries = []
    for number, (speaker, latents, columns) in enumerate(clips):
        mel_frames = mel_frames_of(video_frames_of(latents))
        record = ClipRecord(f"{number}.mp4", f"caption {number}", f"{number} is said here", speaker)
        tensors = {
            "video": torch.full((48, latents, 2, columns), float(number)).half(),
            "mel": torch.full((mel_frames, 80), float(number)).half(),
            "caption": torch.full((1 + number % 3, dim), float(number)).half(),
            "face": torch.full((latents, 2, columns), 0.25).half(),
        }
        tensors["video"][:, 0] += 0.5
        entries.append(write_clip(folder, record, tensors, cut=number == 0))
    write_lines(folder / "index.jsonl", entries)
    return folder
