"""The person's emotion in the caption, which is its only control.

The bundled model's captions begin with "A happy toon ..." (``toon/clips/motion.py``), so the word is put before the
noun if there is one.
Source: the emotions are the six basic ones of the talking-face data sets, and calm.
"""

import re
from collections.abc import Iterator

EMOTIONS = ("calm", "happy", "sad", "angry", "surprised", "fearful", "disgusted")
STRENGTHS = {"slight": "slightly", "normal": "", "strong": "very"}

_ADJECTIVES = (
    *EMOTIONS, "neutral", "composed", "serene", "emotionless", "joyful", "joyous", "cheerful", "delighted", "glad",
    "unhappy", "sorrowful", "gloomy", "depressed", "tearful", "furious", "irate", "enraged", "astonished", "amazed",
    "shocked", "afraid", "scared", "frightened", "terrified", "revolted",
)  # fmt: skip
_ADVERBS = {
    "calm": "calmly", "happy": "happily", "sad": "sadly", "angry": "angrily", "surprised": "in surprise",
    "fearful": "fearfully", "disgusted": "in disgust",
}  # fmt: skip
_SIGNS = {
    "happy": r"\b(?:smil|laugh|grinn?)\w*|开心|高兴|快乐",
    "sad": r"\b(?:cry|cries|crying|sobs?|sobbing|weeps?|weeping)\b|悲伤|难过|伤心",
    "angry": r"\b(?:shout|yell|scowl)\w*|生气|愤怒",
    "surprised": r"惊讶|吃惊",
    "fearful": r"\btrembl\w*|害怕|恐惧",
    "disgusted": r"厌恶",
    "calm": r"平静|冷静",
}
_NAMED = re.compile(
    r"\b(an? )?((?:not )?(?:(?:very|slightly|extremely|quite|so|rather|a little|a bit) )?("
    + "|".join(sorted((*_ADJECTIVES, *_ADVERBS.values()), key=len, reverse=True)) + r"))\b", re.IGNORECASE,
)  # fmt: skip
_PERSON = re.compile(
    r"\b(an?|the) ((?:(?!(?:of|with|in|on|at|and|an?|the)\b)[\w-]+ ){0,3}?"
    r"(?:toon|person|man|woman|boy|girl|child|lady|guy|speaker|presenter|actor|actress|character|robot|face)\b)",
    re.IGNORECASE,
)


def write_emotion(caption: str, emotion: str, strength: str = "normal") -> tuple[str, tuple[str, ...]]:
    """Write the person's emotion into a caption.

    Emotions in the caption are replaced. If it names none, the word is put before the first noun for a person. Without
    such a noun, a sentence is put before the caption, where the token limit does not cut it off.

    Args:
        caption: Description of the scene; may be empty.
        emotion: One of ``EMOTIONS``.
        strength: One of ``STRENGTHS``.

    Returns:
        The caption with the emotion, and sentences for the user about replaced words and possible contradictions.

    Raises:
        ValueError: If the emotion is not of ``EMOTIONS``, or the strength not of ``STRENGTHS``.
    """
    if emotion not in EMOTIONS or strength not in STRENGTHS:
        known = f"{', '.join(EMOTIONS)}, each {', '.join(STRENGTHS)}"
        raise ValueError(f"The emotion is '{emotion}', {strength}; known are {known}.")
    degree = STRENGTHS[strength]
    phrase = f"{degree} {emotion}".strip()
    notices: list[str] = []

    def rename(match: re.Match[str]) -> str:
        renamed = _rename(match, emotion, degree)
        if renamed.lower() != match[0].lower():
            notices.append(f"'{match[0]}' in the caption became '{renamed}'.")
        return renamed

    written, replaced = _NAMED.subn(rename, caption)
    if not replaced:
        written = _PERSON.sub(lambda match: f"{_article(match[1], phrase)} {phrase} {match[2]}", caption, count=1)
    if not re.search(rf"\b{emotion}\b", written, re.IGNORECASE):  # "calmly" is another word to a hashed caption.
        written = f"The person is {phrase}. {written}".strip()
    return written, (*notices, *_contradictions(caption, emotion))


def _rename(match: re.Match[str], emotion: str, degree: str) -> str:
    """Replacement for words that name an emotion, with the right article."""
    adverb = match[3].lower() in _ADVERBS.values()
    word = _ADVERBS[emotion] if adverb else emotion
    phrase = f"{degree} {word}".strip() if " " not in word else word
    if match[1]:
        return f"{_article(match[1].strip(), phrase)} {phrase}"
    return phrase[0].upper() + phrase[1:] if match[2][0].isupper() else phrase


def _article(article: str, phrase: str) -> str:
    """Article before ``phrase`` with the case of ``article``: a, an, A or An; "the" is kept."""
    if article.lower() == "the":
        return article
    return article[0] + ("n" if phrase[0] in "aeiou" else "")


def _contradictions(caption: str, emotion: str) -> Iterator[str]:
    """Sentences about words in a caption that fit another emotion better."""
    for other, signs in _SIGNS.items():
        for found in dict.fromkeys(re.findall(signs, caption, re.IGNORECASE) if other != emotion else ()):
            yield (
                f"The caption says '{found}', which suggests {other} rather than {emotion}. Change it if this is not "
                "intended."
            )
