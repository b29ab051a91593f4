"""Markdown tables, and the paper's published results for comparison."""

from collections.abc import Mapping, Sequence

PUBLISHED_COLUMNS = ("PQ", "CU", "WER", "SC", "DD", "IQ", "LS", "TC", "EC")
PUBLISHED = {
    "UniAVGen, 7.1B": (7.00, 6.62, 0.151, 0.973, 0.410, 0.779, 5.95, 0.832, 0.573),
    "Ovi, 10.9B": (6.03, 6.01, 0.216, 0.972, 0.360, 0.774, 6.48, 0.828, 0.558),
    "UniVerse-1, 7.1B": (4.56, 4.29, 0.296, 0.985, 0.080, 0.733, 1.21, 0.573, 0.300),
    "JavisDiT, 3.7B": (5.21, 3.93, 0.986, 0.965, 0.373, 0.716, 1.23, 0.776, 0.388),
}
"""Main results of UniAVGen (arXiv:2511.03334)."""
_ABOUT_PUBLISHED = (
    "For reference only: measured by the paper's authors on their own test set of real people, with other judges. "
    "Nothing here can be compared with the tables above. PQ and CU: AudioBox-Aesthetics; WER: Whisper; SC, DD, IQ: "
    "VBench's subject consistency, dynamic degree and image quality; LS: SyncNet's confidence; TC and EC: consistency "
    "of timbre and emotion."
)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str | float | int | None]]) -> str:
    """Format a table as Markdown that ends with a line break; floats get three decimals, None is empty."""
    lines = [columns, ["---"] * len(columns), *([_cell(value) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: str | float | None) -> str:
    """Text of one cell, with escaped bars."""
    if value is None:
        return ""
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def legend(measures: Mapping[str, str]) -> str:
    """Format the meaning of each column as a list."""
    return "\n".join(f"- `{name}`: {meaning}" for name, meaning in measures.items()) + "\n"


def published() -> str:
    """Format the paper's results as a section."""
    rows = [[name, *values] for name, values in PUBLISHED.items()]
    return f"## The paper's numbers\n\n{_ABOUT_PUBLISHED}\n\n{markdown_table(['', *PUBLISHED_COLUMNS], rows)}"
