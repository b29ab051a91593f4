"""A small word recognizer, the judge of a toon's words.

It has convolutions and a recurrent layer over the log-mel, and is trained with connectionist temporal classification
(CTC; Graves et al., ICML 2006), one class per word of the toons' vocabulary. Noise and blur in training make it robust
to artefacts.

Dimension key: B clips, M mel frames, T recognizer frames (M / 4), D width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uniavgen_core.media.audio.mel import normalize_mel
from uniavgen_core.shapes import MEL_BINS

from ..clips import LIVELY
from .judge_training import fit, new_judge

VOCABULARY = LIVELY.vocabulary
"""All words of toons of either world."""
_QUIETEST = -1.2
"""Floor of the normalised mel; values below it are silence."""
_BATCH = 32
_STRIDE = 4
_EDGE = 0.15
"""Share of a word's span at either end that is labelled as blank."""
Spans = Sequence[tuple[float, float]]
_LEARNING_RATE = 1e-2


class WordRecognizer(nn.Module):
    """Word recognizer with CTC output."""

    def __init__(self, words: tuple[str, ...] = VOCABULARY, dim: int = 96) -> None:
        super().__init__()
        self.words = words
        self.convolutions = nn.Sequential(
            nn.Conv1d(MEL_BINS, dim, 5, stride=2, padding=2), nn.BatchNorm1d(dim), nn.ReLU(),
            nn.Conv1d(dim, dim, 5, stride=2, padding=2), nn.BatchNorm1d(dim), nn.ReLU(),
            nn.Conv1d(dim, dim, 5, padding=2), nn.BatchNorm1d(dim), nn.ReLU(),
        )  # fmt: skip
        self.recurrence = nn.GRU(dim, dim, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * dim, len(words) + 1)

    def forward(self, mel: Tensor) -> Tensor:
        """Log-probabilities of the classes over time.

        Args:
            mel: Normalised log-mel, (B, 80, M).

        Returns:
            Log-probabilities, (B, T, words + 1); class 0 is the blank, class i + 1 is ``words[i]``.
        """
        features = self.convolutions(mel.clamp(min=_QUIETEST)).mT
        return self.head(self.recurrence(features)[0]).log_softmax(-1)


def train_recognizer(
    mels: Tensor,
    transcripts: list[str],
    steps: int = 1500,
    seed: int = 0,
    words: tuple[str, ...] = VOCABULARY,
    spans: Sequence[Spans] | None = None,
) -> WordRecognizer:
    """Train a recognizer.

    Args:
        mels: Log-mels, natural logarithm, not normalised, (B, 80, M).
        transcripts: Transcript of each, in words of the vocabulary.
        steps: Training steps of 32 clips.
        seed: Seed of initial weights, order and augmentation.
        words: The vocabulary.
        spans: Span of each word in each sound, mel frames; with them training is several times faster.

    Returns:
        The trained recognizer.

    Raises:
        ValueError: If a transcript has a word outside the vocabulary.
    """
    labels = [_labels_of(transcript, words) for transcript in transcripts]
    moments = None if spans is None else _moments(labels, spans, mels.shape[-1])
    generator = torch.Generator().manual_seed(seed)
    model, mels = new_judge(lambda: WordRecognizer(words), seed), normalize_mel(mels)

    def loss() -> Tensor:
        chosen = torch.randint(len(mels), (_BATCH,), generator=generator)
        scores = model(_disturb(mels[chosen], generator))
        ctc = _loss(scores, [labels[index] for index in chosen])
        return ctc if moments is None else ctc + F.nll_loss(scores.flatten(0, 1), moments[chosen].flatten())

    return fit(model, loss, steps, _LEARNING_RATE, clip=1.0)


def _labels_of(transcript: str, words: tuple[str, ...]) -> Tensor:
    """Classes of a transcript's words."""
    unknown = [word for word in transcript.split() if word not in words]
    if unknown:
        raise ValueError(f"{transcript!r} has words outside the vocabulary: {', '.join(unknown)}.")
    return torch.tensor([words.index(word) + 1 for word in transcript.split()])


def _moments(labels: list[Tensor], spans: Sequence[Spans], mel_frames: int) -> Tensor:
    """Class of every recognizer frame, (B, T): a word in the middle of its span, the blank elsewhere."""
    classes = torch.zeros(len(labels), -(-mel_frames // _STRIDE), dtype=torch.long)
    for row, words, places in zip(classes, labels, spans, strict=True):
        for word, (start, stop) in zip(words, places, strict=True):
            edge = (stop - start) * _EDGE
            row[max(0, round((start + edge) / _STRIDE)) : round((stop - edge) / _STRIDE)] = word
    return classes


def _loss(log_probabilities: Tensor, targets: list[Tensor]) -> Tensor:
    """CTC loss of log-probabilities (B, T, words + 1)."""
    lengths = torch.full((len(targets),), log_probabilities.shape[1])
    wanted = torch.tensor([len(target) for target in targets])
    return F.ctc_loss(log_probabilities.transpose(0, 1), torch.cat(targets), lengths, wanted)


def _disturb(mel: Tensor, generator: torch.Generator) -> Tensor:
    """Augment log-mels by noise of random strength, a shift of the level and, in half of the batches, temporal blur."""
    strength = 0.4 * torch.rand(len(mel), 1, 1, generator=generator)
    level = 0.3 * torch.randn(len(mel), 1, 1, generator=generator)
    mel = mel + level + strength * torch.randn(mel.shape, generator=generator)
    width = (1, 1, 3, 5)[int(torch.randint(4, (), generator=generator))]
    return F.avg_pool1d(F.pad(mel, (width // 2, width // 2), mode="replicate"), width, stride=1)


@torch.no_grad()
def recognise(model: WordRecognizer, mels: Tensor) -> list[str]:
    """Recognise the words in log-mels by greedy CTC decoding.

    Args:
        model: A trained recognizer.
        mels: Log-mels, natural logarithm, not normalised, (B, 80, M).

    Returns:
        Recognised words of each, joined by spaces.
    """
    texts = []
    for classes in model(normalize_mel(mels)).argmax(-1):
        kept = [int(label) for label in torch.unique_consecutive(classes) if label != 0]
        texts.append(" ".join(model.words[label - 1] for label in kept))
    return texts
