"""Word errors: edit distance between a transcript and the words of a recognizer."""

import numpy as np


def word_errors(reference: str, recognised: str) -> int:
    """Levenshtein distance of two texts in words: the fewest insertions, deletions and replacements."""
    wanted, got = reference.split(), recognised.split()
    row = np.arange(len(got) + 1)
    for count, word in enumerate(wanted, 1):
        previous, row = row, np.empty_like(row)
        row[0] = count
        for i, other in enumerate(got, 1):
            row[i] = min(previous[i] + 1, row[i - 1] + 1, previous[i - 1] + (word != other))
    return int(row[-1])


def word_error_rate(references: list[str], recognised: list[str]) -> float:
    """Word error rate over all clips; may exceed 1.

    Args:
        references: Expected transcripts.
        recognised: Recognised texts, in the same order.

    Returns:
        Word errors as a share of the references' words.

    Raises:
        ValueError: If the lists differ in length or the references have no words.
    """
    if len(references) != len(recognised):
        raise ValueError(f"{len(references)} references cannot be compared with {len(recognised)} recognitions.")
    total = sum(len(reference.split()) for reference in references)
    if total == 0:
        raise ValueError("The references have no words.")
    return sum(word_errors(*pair) for pair in zip(references, recognised, strict=True)) / total
