"""Captions as umT5 reads them in the release: mended, without HTML's escapes, with single spaces.

Source: the release prepares captions as Wan does: ftfy, HTML's escapes undone twice, white space collapsed.
"""

import html
import re
from types import ModuleType

INSTALL_FTFY = "python -m pip install ftfy"


def clean_caption(text: str) -> str:
    """Mend broken Unicode (where ftfy is installed), undo HTML's escapes twice, and collapse white space.

    Args:
        text: The caption.

    Returns:
        What the release gives to the tokenizer; without ftfy that is exact where ``misses_ftfy`` says no.
    """
    ftfy = _ftfy()
    mended = text if ftfy is None else ftfy.fix_text(text)
    return re.sub(r"\s+", " ", html.unescape(html.unescape(mended))).strip()


def misses_ftfy(cleaned: str) -> bool:
    """Whether a cleaned caption may differ from the release's because ftfy is not installed.

    Args:
        cleaned: What ``clean_caption`` gave. Printable ASCII has nothing to mend; anything else may have: quotes,
            full-width letters, ligatures, accents that were decoded wrongly, control characters.
    """
    return not (cleaned.isascii() and cleaned.isprintable()) and _ftfy() is None


def require_ftfy() -> None:
    """Refuse to go on where captions must be cleaned exactly, as those to train on.

    Raises:
        ImportError: If ``ftfy`` is not installed.
    """
    if _ftfy() is None:
        raise ImportError(f"Cleaning captions as the release does needs ftfy: {INSTALL_FTFY}")


def _ftfy() -> ModuleType | None:
    """The package; imported late, because it is optional."""
    try:
        import ftfy
    except ImportError:
        return None
    return ftfy
