"""Cleaning of captions for umT5: repaired Unicode, no HTML escapes, single spaces.

Source: the release cleans captions as Wan does: ftfy, HTML unescaped twice, white space collapsed.
"""

import html
import re
from types import ModuleType

INSTALL_FTFY = "python -m pip install ftfy"


def clean_caption(text: str) -> str:
    """Repair broken Unicode (if ftfy is installed), unescape HTML twice, and collapse white space.

    Without ftfy, the result is the text that the release gives to the tokenizer only if ``misses_ftfy`` is false.
    """
    ftfy = _ftfy()
    mended = text if ftfy is None else ftfy.fix_text(text)
    return re.sub(r"\s+", " ", html.unescape(html.unescape(mended))).strip()


def misses_ftfy(cleaned: str) -> bool:
    """True if a cleaned caption may differ from the release's because ftfy is not installed.

    Printable ASCII needs no repair; anything else may: quotes, full-width letters, ligatures, accents that were decoded
    wrongly, control characters.
    """
    return not (cleaned.isascii() and cleaned.isprintable()) and _ftfy() is None


def require_ftfy() -> None:
    """Require ftfy, where captions must be cleaned exactly, as for training.

    Raises:
        ImportError: If ``ftfy`` is not installed.
    """
    if _ftfy() is None:
        raise ImportError(f"Cleaning captions as the release does needs ftfy: {INSTALL_FTFY}")


def _ftfy() -> ModuleType | None:
    """Import ftfy, which is optional; None if it is not installed."""
    try:
        import ftfy
    except ImportError:
        return None
    return ftfy
