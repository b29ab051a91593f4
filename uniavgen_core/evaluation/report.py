"""One row of the results table: sync, words and picture of a set of generated clips.

Dimension key: F video frames, H picture height, W picture width, M mel frames.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..media.mel import log_mel
from ..toon import ToonClip
from .recogniser import WordRecogniser, recognise, word_error_rate
from .sync import (
    best_lag,
    first_of,
    mouth_amplitude,
    mouth_opening,
    own_correlation,
    shuffled_correlation,
    sound_envelope,
)

_CHOICES = 8


def measure(
    generated: Sequence[tuple[np.ndarray, Tensor]], clips: Sequence[ToonClip], recogniser: WordRecogniser
) -> dict[str, float]:
    """Measure generated clips against the clips whose reference image, transcript and caption they were made from.

    Args:
        generated: For each clip its frames, (F, H, W, 3) uint8, and its log-mel, natural logarithm, not normalised,
            (80, M); at least eight, all of one length.
        clips: The clips they should resemble, in the same order.
        recogniser: The judge of words.

    Returns:
        By name: ``corr`` (mouth with own sound at lag 0), ``best_corr`` and ``lag`` (at the best of nine lags; mean
        size of the lag in video frames), ``shuffled`` (mouth with other clips' sounds), ``first_of_8`` (share whose own
        sound fits best of eight), ``mouth_amplitude`` (hundredths of the squared head radius), ``wer`` (word error
        rate), ``still_psnr`` (dB, against frame 0 where the clip shows no head).

    Raises:
        ValueError: If there are fewer than eight clips, or the lists differ in length.
    """
    if len(generated) != len(clips):
        raise ValueError(f"{len(generated)} generated clips cannot be compared with {len(clips)} clips.")
    pairs = [(frames, clip) for (frames, _), clip in zip(generated, clips, strict=True)]
    openings = np.stack([mouth_opening(frames, clip.mouth_center, clip.face_radius) for frames, clip in pairs])
    envelopes = np.stack([sound_envelope(mel.cpu().numpy(), len(frames)) for frames, mel in generated])
    lags = [best_lag(*pair) for pair in zip(openings, envelopes, strict=True)]
    heard = recognise(recogniser, torch.stack([mel.float().cpu() for _, mel in generated]))
    return {
        "corr": own_correlation(openings, envelopes),
        "best_corr": float(np.mean([fit for fit, _ in lags])),
        "lag": float(np.mean([abs(lag) for _, lag in lags])),
        "shuffled": shuffled_correlation(openings, envelopes, _CHOICES - 1),
        "first_of_8": first_of(openings, envelopes, _CHOICES),
        "mouth_amplitude": mouth_amplitude(openings),
        "wer": word_error_rate([clip.transcript for clip in clips], heard),
        "still_psnr": float(np.mean([still_psnr(*pair) for pair in pairs])),
    }


def measure_ground_truth(clips: Sequence[ToonClip], recogniser: WordRecogniser) -> dict[str, float]:
    """Measure the clips themselves: the best that ``measure`` can show.

    Args:
        clips: At least eight clips of one length.
        recogniser: The judge of words.

    Returns:
        The same measures as ``measure``.
    """
    return measure([(clip.frames, log_mel(torch.from_numpy(clip.waveform))) for clip in clips], clips, recogniser)


def still_psnr(frames: np.ndarray, clip: ToonClip) -> float:
    """How still the picture stays where it should: away from the head and its hair.

    Args:
        frames: Generated pictures, (F, H, W, 3) uint8.
        clip: The clip whose frame 0 was the reference image.

    Returns:
        Peak signal-to-noise ratio in dB of frames 1 on against the clip's frame 0, over the pixels that no frame of the
        clip changes; 99 where they are equal.
    """
    still = (clip.frames == clip.frames[:1]).all(axis=(0, 3)) & (clip.face_mask.max(axis=0) == 0)
    difference = frames[1:, still].astype(np.float64) - clip.frames[0, still]
    error = np.mean(difference**2)
    return float(min(99.0, 10 * np.log10(255**2 / max(error, 1e-9))))
