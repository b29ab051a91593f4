"""Measures the five tasks and two faces on held-out toons. ``python -m tools.measure_tasks --work DIR``.

Everything is drawn from seeds and sentences that training never used. The judges of words and voices are trained here,
on sounds of their own, and kept in the work folder.
Dimension key: B clips, K audio tracks, F video frames, H picture height, W picture width, S mel frames.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tools.measure_bundle import ASSETS, contact_sheet, decode, judge, sounds_of_judges
from tools.task_cases import TASKS, Case, cases_of, voice_mel
from uniavgen_core.checkpoint.load import load_model
from uniavgen_core.config import GuidanceConfig
from uniavgen_core.evaluation.recogniser import WordRecogniser, recognise, word_error_rate
from uniavgen_core.evaluation.sync import correlation, first_of, mouth_amplitude, mouth_opening, sound_envelope
from uniavgen_core.evaluation.timbre import VoiceJudge, heard_voices, train_voice_judge
from uniavgen_core.media.mel import denormalize_mel
from uniavgen_core.media.video_codec import VideoCodec
from uniavgen_core.model.face_mask import FaceSteering
from uniavgen_core.model.joint import Conditions, JointModel
from uniavgen_core.pipeline import Kept, SampleConfig, sample
from uniavgen_core.training.dataset import caption_tensor, load_codec, picture_tensor, token_shares
from uniavgen_core.training.material import speech_fields
from uniavgen_core.training.recipe import CODEC_FILE, MODEL_FILE

BATCH = 16
SILENT = -9.0
"""Logarithm of the magnitudes that judges of words and voices are given instead of kept sound."""


def conditions_of(cases: Sequence[Case], reference: Tensor, model: JointModel, texts: bool) -> Conditions:
    """Conditions of a batch, or of its null pass."""
    voices = [voice_mel(case.spoken) for case in cases if case.spoken]
    words = [case.words if texts else replace(case.words, text=None) for case in cases]
    masks = [token_shares(case.mask).astype(np.float32) for case in cases if case.mask is not None]
    return Conditions(
        caption=caption_tensor([case.caption if texts else None for case in cases]),
        **speech_fields(words, len(voices[0]) if voices else 0, model.config.text),
        reference_image=reference,
        reference_audio=torch.stack(voices) if voices else None,
        interaction=cases[0].interaction,
        steering=FaceSteering(torch.from_numpy(np.stack(masks))[:, None]) if masks else None,
    )


@torch.no_grad()
def generate(
    model: JointModel, codec: VideoCodec, cases: Sequence[Case], config: SampleConfig
) -> list[tuple[np.ndarray, Tensor]]:
    """Frames (F, H, W, 3) uint8 and log-mel (80, S) of all cases; noise is drawn from the case's number."""
    made = []
    for start in range(0, len(cases), BATCH):
        part = cases[start : start + BATCH]
        video = torch.cat([codec.encode(picture_tensor(case.frames)) for case in part])
        reference = torch.cat([codec.encode(picture_tensor(case.reference[None])) for case in part])
        audio = torch.stack([case.mel for case in part])
        latents = torch.tensor([case.latents_kept for case in part])
        kept = Kept(
            video, audio, torch.arange(video.shape[2]) < latents[:, None], torch.stack([c.sound_kept for c in part])
        )
        generators = [torch.Generator().manual_seed(start + i) for i in range(len(part))]
        noise = tuple(torch.stack([torch.randn(x.shape[1:], generator=g) for g in generators]) for x in (video, audio))
        both = [conditions_of(part, reference, model, texts) for texts in (True, False)]
        made += decode(codec, *sample(model, *both, kept, noise, config))
    return made


def measure_cases(
    made: Sequence[tuple[np.ndarray, Tensor]], cases: Sequence[Case], judges: tuple[WordRecogniser, VoiceJudge]
) -> dict[str, float]:
    """Measure generated cases.

    Returns:
        By name: ``corr`` (mouth with sound), ``first_of_8``, ``mouth_amplitude``, ``other_corr`` and
        ``other_amplitude`` (of the mouth that should stay shut; nan where there is none), ``wer``, ``voice`` (share of
        clips heard in the voice that was asked for). Kept sound counts for the mouth, not for words and voice.
    """
    sounds = [sound_envelope(mel.numpy(), len(frames)) for frames, mel in made]
    openings = [
        np.stack([mouth_opening(frames, *case.mouths[who]) for (frames, _), case in zip(made, cases, strict=True)])
        for who in range(len(cases[0].mouths))
    ]
    fits = [np.mean([correlation(*pair) for pair in zip(mouths, sounds, strict=True)]) for mouths in openings]
    spread = [mouth_amplitude(mouths) for mouths in openings]
    new = torch.stack([_new_sound(mel, case) for (_, mel), case in zip(made, cases, strict=True)])
    heard = recognise(judges[0], new)
    right = heard_voices(judges[1], new) == torch.tensor([case.voice for case in cases])
    return {
        "corr": float(fits[0]),
        "first_of_8": first_of(openings[0], np.stack(sounds)) if len(cases) >= 8 else float("nan"),
        "mouth_amplitude": spread[0],
        "other_corr": float(fits[1]) if len(fits) > 1 else float("nan"),
        "other_amplitude": spread[1] if len(fits) > 1 else float("nan"),
        "wer": word_error_rate([case.words.text for case in cases], heard),
        "voice": float(right.float().mean()),
    }


def _new_sound(mel: Tensor, case: Case) -> Tensor:
    """Log-mel of a clip with silence where sound is kept; as it is where all is kept."""
    return mel if case.sound_kept.all() else mel.masked_fill(case.sound_kept, SILENT)


def judge_voices(work: Path, sounds: int, steps: int) -> VoiceJudge:
    """The judge of voices, trained once per work folder."""
    path = work / "voice_judge.pt"
    if path.exists():
        model = VoiceJudge()
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval()
    speeches, mels = sounds_of_judges(sounds)
    model = train_voice_judge(mels, torch.tensor([speech.voice for speech in speeches]), steps)
    torch.save(model.state_dict(), path)
    return model


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="tools.measure_tasks", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the judges and contact sheets")
    parser.add_argument("--model", type=Path, default=ASSETS / MODEL_FILE, help="model file")
    parser.add_argument("--clips", type=int, default=64, help="held-out clips of each task")
    parser.add_argument("--steps", type=int, default=25, help="Euler steps")
    parser.add_argument("--guidance", type=float, default=2.0, help="guidance scale of picture and sound")
    parser.add_argument("--tasks", nargs="*", default=TASKS, choices=TASKS, help="which tasks")
    parser.add_argument("--truth", action="store_true", help="measure the true clips instead")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Measure and print one JSON object a task."""
    options = parse(arguments)
    judges = judge(options.work, 4000, 1500), judge_voices(options.work, 4000, 1500)
    model, codec = load_model(options.model, dtype=torch.float32), load_codec(ASSETS / CODEC_FILE)
    guidance = GuidanceConfig(options.guidance, options.guidance, skipped_layer=None)
    for task in options.tasks:
        cases = cases_of(task, options.clips)
        if options.truth:
            made = [(case.frames, denormalize_mel(case.mel).T) for case in cases]
        else:
            made = generate(model, codec, cases, SampleConfig(options.steps, guidance=guidance))
            contact_sheet([frames for frames, _ in made[:10]], options.work / f"sheet_{task.replace(' ', '_')}.png")
        print(json.dumps({"task": task, **{k: round(v, 3) for k, v in measure_cases(made, cases, judges).items()}}))
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
