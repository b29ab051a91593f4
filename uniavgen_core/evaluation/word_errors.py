"""Word errors: the distance between a transcript and what a recogniser heard."""

import numpy as np


def word_errors(reference: str, heard: str) -> int:
    """Fewest words to insert, delete or replace to turn what was heard into the reference (Levenshtein's distance)."""
    wanted, got = reference.split(), heard.split()
    row = np.arange(len(got) + 1)
    for count, word in enumerate(wanted, 1):
        previous, row = row, np.empty_like(row)
        row[0] = count
        for i, other in enumerate(got, 1):
            row[i] = min(previous[i] + 1, row[i - 1] + 1, previous[i - 1] + (word != other))
    return int(row[-1])


def word_error_rate(references: list[str], heard: list[str]) -> float:
    """Word errors over all clips as a share of the references' words; may exceed 1.

    Args:
        references: What should have been said.
        heard: What was, in the same order.

    Returns:
        The rate.

    Raises:
        ValueError: If the lists differ in length or the references have no word.
    """
    if len(references) != len(heard):
        raise ValueError(f"{len(references)} references cannot be compared with {len(heard)} recognitions.")
    total = sum(len(reference.split()) for reference in references)
    if total == 0:
        raise ValueError("The references have no words.")
    return sum(word_errors(*pair) for pair in zip(references, heard, strict=True)) / total
