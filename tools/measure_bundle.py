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
from uniavgen_core.toon.speech import ToonSpeech, make_speech
from uniavgen_core.training.dataset import caption_tensor, load_codec, picture_tensor, speech_tensors
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

    @property
    def file_name(self) -> str:
        """The name in letters, digits and underscores."""
        return "".join(letter if letter.isalnum() else "_" for letter in self.name)


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
) -> tuple[Tensor, Tensor]:
    """Generate video latents (B, 48, T, H, W) and mels (B, S, 80) of all clips; noise is drawn from the clip's seed."""
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
        made.append(sample(model, conditions, null, kept, (video, audio), SampleConfig(steps, guidance=guidance)))
    videos, audios = zip(*made, strict=True)
    return torch.cat(videos), torch.cat(audios)


@torch.no_grad()
def decode(codec: VideoCodec, video: Tensor, audio: Tensor) -> list[tuple[np.ndarray, Tensor]]:
    """Turn latents into frames (F, H, W, 3) uint8 and a log-mel (80, S) for each clip."""
    pictures = [((codec.decode(latent[None])[0] + 1) * 127.5).round().byte() for latent in video]
    frames = [picture.permute(1, 2, 3, 0).numpy() for picture in pictures]
    return list(zip(frames, denormalize_mel(audio).mT, strict=True))


def judge(work: Path, sounds: int, steps: int) -> WordRecogniser:
    """The word recogniser, trained once per work folder."""
    path = work / "recogniser.pt"
    if path.exists():
        recogniser = WordRecogniser()
        recogniser.load_state_dict(torch.load(path, weights_only=True))
        return recogniser.eval()
    speeches, mels = sounds_of_judges(sounds)
    recogniser = train_recogniser(mels, [speech.transcript for speech in speeches], steps)
    torch.save(recogniser.state_dict(), path)
    return recogniser


def sounds_of_judges(count: int) -> tuple[list[ToonSpeech], Tensor]:
    """Speech from seeds of the judges' own, and its log-mels, (count, 80, S)."""
    speeches = [make_speech(JUDGE_SEED + i) for i in range(count)]
    return speeches, torch.stack([log_mel(torch.from_numpy(speech.waveform)) for speech in speeches])


def contact_sheet(rows: Sequence[np.ndarray], path: Path, every: int = 4) -> None:
    """Write every few frames of each clip, (F, H, W, 3), as one row of a picture."""
    import cv2

    sheet = np.concatenate([np.concatenate(list(frames[::every]), 1) for frames in rows])
    cv2.imwrite(str(path), sheet[:, :, ::-1])


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="tools.measure_bundle", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the judge, the latents and contact sheets")
    parser.add_argument("--assets", type=Path, default=ASSETS, help="folder with the two weight files")
    parser.add_argument("--clips", type=int, default=64, help="held-out clips")
    parser.add_argument("--steps", type=int, default=25, help="Euler steps")
    parser.add_argument("--rows", type=int, nargs="*", default=range(len(VARIANTS)), help="variants, by number from 0")
    parser.add_argument("--compile", action="store_true", help="compile the interaction: faster, needs a C++ compiler")
    parser.add_argument("--judge-sounds", type=int, default=4000, help="sounds the judge is trained on")
    parser.add_argument("--judge-steps", type=int, default=1500, help="training steps of the judge")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args(arguments)


def measure_truth(
    codec: VideoCodec, clips: Sequence[ToonClip], recogniser: WordRecogniser
) -> dict[str, dict[str, float]]:
    """Measure the clips themselves, and with their pictures coded and decoded."""
    with torch.no_grad():
        latents = torch.cat([codec.encode(picture_tensor(clip.frames)) for clip in clips])
    coded = [frames for frames, _ in decode(codec, latents, torch.zeros(len(clips), 1, 1))]
    sounds = [log_mel(torch.from_numpy(clip.waveform)) for clip in clips]
    return {
        "ground truth": measure_ground_truth(clips, recogniser),
        "ground truth, coded": measure(list(zip(coded, sounds, strict=True)), clips, recogniser),
    }


def latents_of(variant: Variant, model: JointModel, codec: VideoCodec, options: argparse.Namespace) -> Path:
    """File with the generated latents of one variant; made if it is not there."""
    path = options.work / f"latents_{variant.file_name}.pt"
    if not path.exists():
        clips = [make_clip(seed, split="held_out") for seed in range(options.clips)]
        torch.save(generate(model, codec, clips, variant, options.steps), path)
    return path


def main(arguments: list[str]) -> int:
    """Measure and print a table; the last line is JSON with --json."""
    options = parse(arguments)
    recogniser = judge(options.work, options.judge_sounds, options.judge_steps)
    model, codec = load_model(options.assets / MODEL_FILE, dtype=torch.float32), load_codec(options.assets / CODEC_FILE)
    if options.compile:
        for module in model.v2a_blocks:
            module.compile(dynamic=False)
    clips = [make_clip(seed, split="held_out") for seed in range(options.clips)]
    table = measure_truth(codec, clips, recogniser)
    for variant in [VARIANTS[row] for row in options.rows]:
        made = decode(codec, *torch.load(latents_of(variant, model, codec, options), weights_only=True))
        table[variant.name] = measure(made, clips, recogniser)
        contact_sheet([frames for frames, _ in made[:10]], options.work / f"sheet_{variant.file_name}.png")
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
