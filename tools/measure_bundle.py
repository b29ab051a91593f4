"""Measures the bundled model on held-out toons: sync, words, picture. ``python -m tools.measure_bundle --work DIR``.

Reference image, transcript and caption of every clip come from seeds that training never used, with sentences it never
heard. The judge of words is trained here, on sounds of its own, and kept in the work folder.
Dimension key: B clips, T latent frames, S mel frames.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from uniavgen_core.checkpoint.load import load_model
from uniavgen_core.config import GuidanceConfig, Interaction
from uniavgen_core.evaluation.recogniser import WordRecogniser, train_recogniser
from uniavgen_core.evaluation.report import measure, measure_ground_truth
from uniavgen_core.media.mel import denormalize_mel, log_mel
from uniavgen_core.media.video_codec import VideoCodec
from uniavgen_core.model.joint import Conditions, JointModel
from uniavgen_core.pipeline import SampleConfig, keep_first_frame, sample
from uniavgen_core.shapes import AVShape
from uniavgen_core.toon.clip import ToonClip, make_clip
from uniavgen_core.toon.speech import make_speech
from uniavgen_core.training.dataset import caption_tensor, picture_tensor, speech_tensors
from uniavgen_core.training.recipe import CODEC_FILE, MODEL_FILE

ASSETS = Path(__file__).parents[1] / "uniavgen_core" / "assets"
JUDGE_SEED = 5_000_000
BATCH = 16


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    name: str
    interaction: Interaction = Interaction.BOTH
    video_scale: float = 1.0
    audio_scale: float = 1.0


VARIANTS = (
    Variant("joint, no guidance"),
    Variant("joint, interactions off", Interaction.OFF),
    Variant("modality-aware guidance 2", video_scale=2.0, audio_scale=2.0),
    Variant("modality-aware guidance 3", video_scale=3.0, audio_scale=3.0),
    Variant("video 3, audio 2 (as released)", video_scale=3.0, audio_scale=2.0),
)


def conditions_of(clips: Sequence[ToonClip], codec: VideoCodec, texts: bool) -> Conditions:
    """Conditions of a batch: the reference image, and the texts or their nulls."""
    ids, lengths = speech_tensors([clip.transcript if texts else None for clip in clips])
    return Conditions(
        caption=caption_tensor([clip.caption if texts else None for clip in clips]),
        speech_ids=ids,
        speech_lengths=lengths,
        reference_image=torch.cat([codec.encode(picture_tensor(clip.frames[:1])) for clip in clips]),
    )


@torch.no_grad()
def generate(
    model: JointModel, codec: VideoCodec, clips: Sequence[ToonClip], variant: Variant, steps: int
) -> list[tuple[np.ndarray, Tensor]]:
    """Generate frames (F, H, W, 3) uint8 and a log-mel (80, S) for each clip; noise is drawn from the clip's seed."""
    made = []
    guidance = GuidanceConfig(variant.video_scale, variant.audio_scale, skipped_layer=None)
    shape = AVShape(clips[0].frames.shape[2], clips[0].frames.shape[1], len(clips[0].frames))
    for start in range(0, len(clips), BATCH):
        part = clips[start : start + BATCH]
        generators = [torch.Generator().manual_seed(clip.seed) for clip in part]
        video = torch.cat([torch.randn(shape.video, generator=g) for g in generators])
        audio = torch.cat([torch.randn(shape.audio[1:], generator=g) for g in generators])
        conditions = replace(conditions_of(part, codec, True), interaction=variant.interaction)
        kept = keep_first_frame(conditions.reference_image, video, audio)
        null = conditions_of(part, codec, False)
        latents = sample(model, conditions, null, kept, (video, audio), SampleConfig(steps, guidance=guidance))
        pictures = ((codec.decode(latents[0]) + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).numpy()
        made += list(zip(pictures, denormalize_mel(latents[1]).mT, strict=True))
    return made


def judge(work: Path, sounds: int, steps: int) -> WordRecogniser:
    """The word recogniser, trained once per work folder."""
    path = work / "recogniser.pt"
    if path.exists():
        recogniser = WordRecogniser()
        recogniser.load_state_dict(torch.load(path, weights_only=True))
        return recogniser.eval()
    speeches = [make_speech(JUDGE_SEED + i) for i in range(sounds)]
    mels = torch.stack([log_mel(torch.from_numpy(speech.waveform)) for speech in speeches])
    recogniser = train_recogniser(mels, [speech.transcript for speech in speeches], steps)
    torch.save(recogniser.state_dict(), path)
    return recogniser


def load_codec(path: Path) -> VideoCodec:
    """The codec from a safetensors file, in float32."""
    codec = VideoCodec()
    codec.load_state_dict(load_file(path))
    return codec.float().eval()


def contact_sheet(rows: Sequence[np.ndarray], path: Path, every: int = 4) -> None:
    """Write every few frames of each clip, (F, H, W, 3), as one row of a picture."""
    import cv2

    sheet = np.concatenate([np.concatenate(list(frames[::every]), 1) for frames in rows])
    cv2.imwrite(str(path), sheet[:, :, ::-1])


def main(arguments: list[str]) -> int:
    """Measure and print a table; the last line is JSON with --json."""
    parser = argparse.ArgumentParser(prog="tools.measure_bundle", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the judge and the contact sheet")
    parser.add_argument("--assets", type=Path, default=ASSETS, help="folder with the two weight files")
    parser.add_argument("--clips", type=int, default=64, help="held-out clips")
    parser.add_argument("--steps", type=int, default=25, help="Euler steps")
    parser.add_argument("--rows", type=int, default=len(VARIANTS), help="how many variants to generate")
    parser.add_argument("--judge-sounds", type=int, default=3000)
    parser.add_argument("--judge-steps", type=int, default=700)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args(arguments)
    recogniser = judge(options.work, options.judge_sounds, options.judge_steps)
    model, codec = load_model(options.assets / MODEL_FILE, dtype=torch.float32), load_codec(options.assets / CODEC_FILE)
    clips = [make_clip(seed, split="held_out") for seed in range(options.clips)]
    table = {"ground truth": measure_ground_truth(clips, recogniser)}
    coded = [((codec.decode(codec.encode(picture_tensor(c.frames)))[0] + 1) * 127.5).detach().byte() for c in clips]
    coded = [frames.permute(1, 2, 3, 0).numpy() for frames in coded]
    table["ground truth through the codec"] = measure(
        [(frames, log_mel(torch.from_numpy(clip.waveform))) for frames, clip in zip(coded, clips, strict=True)],
        clips,
        recogniser,
    )
    for variant in VARIANTS[: options.rows]:
        made = generate(model, codec, clips, variant, options.steps)
        table[variant.name] = measure(made, clips, recogniser)
        name = "".join(letter if letter.isalnum() else "_" for letter in variant.name)
        contact_sheet([frames for frames, _ in made[:10]], options.work / f"sheet_{name}.png")
        print(variant.name, {key: round(value, 3) for key, value in table[variant.name].items()}, flush=True)
    print_table(table)
    if options.json:
        print(json.dumps({"clips": options.clips, "steps": options.steps, "table": table}))
    return 0


def print_table(table: dict[str, dict[str, float]]) -> None:
    """Print the measurements as a Markdown table."""
    names = list(next(iter(table.values())))
    print("| | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for row, values in table.items():
        print(f"| {row} | " + " | ".join(f"{values[name]:.3f}" for name in names) + " |")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
