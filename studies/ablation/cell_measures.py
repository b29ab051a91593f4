"""Measures of a trained cell: losses at fixed noise on held-out clips, and judges of generated clips.

Dimension key: B batch, F video frames, T latent frames, S mel frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from toon.clips import ToonClip
from toon.clips.speech import FEMALE_VOICES
from toon.evaluation.face_judge import seen_emotions
from toon.evaluation.generate_cases import Made, decode
from toon.evaluation.judge_data import small_faces
from toon.evaluation.judges import JudgeRecipe, Judges, judges_of
from toon.evaluation.voice_judge import heard_classes
from toon.evaluation.word_recognizer import recognise
from uniavgen_core.bundled.bundled_files import load_codec
from uniavgen_core.bundled.video_codec import VideoCodec
from uniavgen_core.config import GuidanceConfig, Interaction
from uniavgen_core.evaluation.lip_sync import (
    first_of,
    mouth_opening,
    own_correlation,
    shuffled_correlation,
    sound_envelope,
)
from uniavgen_core.evaluation.word_errors import word_error_rate
from uniavgen_core.model.joint import JointModel
from uniavgen_core.pipeline import SampleConfig, keep_first_frame, sample
from uniavgen_core.tasks import JOINT
from uniavgen_core.training.flow_matching import Batch

from .cell_losses import clips_of_task, study_losses
from .cells import Study
from .study_clips import Material, held_out_clips, load_material

LEVELS = (0.3, 0.6, 0.8, 0.95)
"""Noise levels of the held-out losses."""
CHOICES = 8
BATCH = 16

MEASURES = {
    "corr": "mouth opening, read from pixels, against loudness: correlation at lag 0",
    "sync": "the same less the correlation with other clips' sounds; stands in for LS",
    "first_of_8": "share whose own sound fits the mouth best of eight",
    "timbre": "share whose voice, as heard, is of the sex that is seen; stands in for TC",
    "emotion": "share in which the emotion heard is the emotion seen (of three); stands in for EC",
    "wer": "word error rate by the judge of words",
    "psnr": "dB against frame 0 where the true clip does not change; stands in for IQ",
    "video_loss": "velocity loss of the picture on held-out clips, interaction on, mean over four noise levels",
    "audio_loss": "the same of the sound",
    "video_gain": "what the interaction takes off the picture's loss: interaction off less on",
    "audio_gain": "what it takes off the sound's loss",
    "mask_error": "mean squared error of the face masks",
}
LOWER_IS_BETTER = ("wer", "video_loss", "audio_loss", "mask_error")


def make_judges(study: Study, work: Path) -> Judges:
    """Load the judges, which are trained once per work folder."""
    return judges_of(work / "judges", JudgeRecipe().scaled(study.judges))


@dataclass(frozen=True)
class Meter:
    """Evaluator of cells, with everything that it needs.

    Attributes:
        study: Sizes of the study.
        held_out: Held-out clips, coded.
        clips: The same clips as frames and waveforms.
        codec: The video codec.
        judges: Trained judges.
    """

    study: Study
    held_out: Material
    clips: Sequence[ToonClip]
    codec: VideoCodec
    judges: Judges

    @classmethod
    def of(cls, study: Study, work: Path) -> "Meter":
        """Make the evaluator of a work folder."""
        return cls(
            study, load_material(study, work, True), held_out_clips(study), load_codec(), make_judges(study, work)
        )

    def measure(self, model: JointModel) -> dict[str, float]:
        """Compute all measures of a cell."""
        return self.judge(self.generate(model, self.study.guidance["first half"])) | self.losses(model)

    @torch.no_grad()
    def losses(self, model: JointModel) -> dict[str, float]:
        """Losses on held-out clips at fixed noise, with the interaction on and off."""
        rows: dict[str, list[float]] = {name: [] for name in ("video", "audio", "mask", "video off", "audio off")}
        for chosen in self._batches():
            conditions = self.held_out.conditions(chosen, [False] * len(chosen), model.config.text)
            noise = self._noise(chosen)
            joint = clips_of_task(self.held_out, chosen, conditions, JOINT)
            alone = replace(joint, conditions=replace(conditions, interaction=Interaction.OFF))
            for level in LEVELS:
                sigma = torch.full((len(chosen),), level)
                on, off = (study_losses(model, Batch(clips, sigma, *noise), 0.0) for clips in (joint, alone))
                values = (on["video"], on["audio"], on["mask"], off["video"], off["audio"])
                for row, value in zip(rows.values(), values, strict=True):
                    row.append(float(value) * len(chosen))
        count = len(LEVELS) * len(self.held_out)
        means = {name: sum(row) / count for name, row in rows.items()}
        values = {
            "video_loss": means["video"],
            "audio_loss": means["audio"],
            "video_gain": means["video off"] - means["video"],
            "audio_gain": means["audio off"] - means["audio"],
        }
        return values | ({"mask_error": means["mask"]} if model.config.variant.face_modulation else {})

    @torch.no_grad()
    def generate(self, model: JointModel, guidance: GuidanceConfig) -> list[Made]:
        """Generate every held-out clip from its first frame and texts, with the same noise for every model."""
        made: list[Made] = []
        for chosen in self._batches():
            cond, uncond = (
                self.held_out.conditions(chosen, [textless] * len(chosen), model.config.text)
                for textless in (False, True)
            )
            noise = self._noise(chosen)
            kept = keep_first_frame(cond.reference_image, *noise)
            config = SampleConfig(self.study.sample_steps, guidance=guidance)
            video, audio = sample(model, cond, uncond, kept, noise, config)
            made += decode(self.codec, video, audio)
        return made

    def _batches(self) -> list[range]:
        """Indices of the held-out clips, batch by batch."""
        count = len(self.held_out)
        return [range(first, min(first + BATCH, count)) for first in range(0, count, BATCH)]

    def _noise(self, chosen: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Noise of the clips' video and mel, seeded by the clips' indices."""
        randoms = [np.random.default_rng(i) for i in chosen]
        shapes = self.held_out.video.shape[1:], self.held_out.mel.shape[1:]
        return tuple(
            torch.from_numpy(np.stack([random.standard_normal(shape, np.float32) for random in randoms]))
            for shape in shapes
        )

    def judge(self, made: Sequence[Made]) -> dict[str, float]:
        """Measures of generated clips."""
        clips = self.clips
        openings = np.stack(
            [
                mouth_opening(one.frames, clip.mouth_center, clip.face_radius)
                for one, clip in zip(made, clips, strict=True)
            ]
        )
        envelopes = np.stack([sound_envelope(one.log_mel.numpy(), len(one.frames)) for one in made])
        mels = torch.stack([one.log_mel for one in made])
        voices = heard_classes(self.judges.voice, mels).tolist()
        corr = own_correlation(openings, envelopes)
        sexes = [(a in FEMALE_VOICES) == (clip.voice in FEMALE_VOICES) for a, clip in zip(voices, clips, strict=True)]
        every = np.linspace(1, len(made[0].frames) - 1, CHOICES).round().astype(int)
        pictures = torch.stack([small_faces(one.frames[every]) for one in made])
        emotions = heard_classes(self.judges.sound, mels) == seen_emotions(self.judges.face, pictures)
        stills = [still_psnr(one.frames, clip) for one, clip in zip(made, clips, strict=True)]
        return {
            "corr": corr,
            "sync": corr - shuffled_correlation(openings, envelopes, CHOICES - 1),
            "first_of_8": first_of(openings, envelopes, CHOICES),
            "timbre": float(np.mean(sexes)),
            "emotion": float(emotions.float().mean()),
            "wer": word_error_rate([clip.transcript for clip in clips], recognise(self.judges.words, mels)),
            "psnr": float(np.mean(stills)),
        }

    def truth(self) -> dict[str, float]:
        """Measures of the held-out clips themselves."""
        return self.judge([Made.of(clip.frames, torch.from_numpy(clip.waveform)) for clip in self.clips])


def still_psnr(frames: np.ndarray, clip: ToonClip) -> float:
    """Peak signal-to-noise ratio in dB against frame 0, over the pixels that no frame of the true clip changes."""
    still = (clip.frames == clip.frames[:1]).all(axis=(0, 3)) & (clip.face_mask.max(axis=0) == 0)
    error = np.mean((frames[1:, still].astype(np.float64) - clip.frames[0, still]) ** 2)
    return float(min(99.0, 10 * np.log10(255**2 / max(error, 1e-9))))
