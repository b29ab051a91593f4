"""Preparation of all spoken texts, from their widgets to the conditioning, with notices that name the widget."""

from ....uniavgen_core.text.transcript import PreparedText, prepare_transcript
from .pass_settings import pass_settings_of, set_speech

VOICE_TEXT, KEPT_TEXT, SOUND_TEXT = "voice_transcript", "kept_transcript", "audio_transcript"
NO_VOICE_TEXT = (
    "The reference voice has no transcript, so the voice is cloned less well and the first words may be slurred. For "
    "a better result, write what is said in it."
)
WITHOUT_WORDS = "Without it, the mouth opens less (12 % less with the bundled model)."
NO_SOUND_TEXT = (
    "The transcript of the audio is missing. Write what is said in it into 'audio_transcript', or connect "
    f"'UniAVGen Speech Text', even if nothing is said after it. {WITHOUT_WORDS}"
)
NO_SOUND_WORDS = (
    "The transcript of the kept audio is missing. Connect 'UniAVGen Speech Text' with what is said in it. "
    f"{WITHOUT_WORDS}"
)
TRANSCRIPT_UNUSED = (
    "The audio fills the whole clip, so nothing can be said after it. 'audio_transcript' is used and the transcript "
    "is ignored. To add speech, set a longer clip in 'seconds'."
)


def prepare_field(field: str, text: str | None, as_released: bool = False) -> PreparedText:
    """Prepare the text of one widget in the same way as a transcript.

    Args:
        field: Name of the widget, for messages.
        text: Text of the user; may be blank.
        as_released: Leave the text as it is, without preparation and with its white space.

    Returns:
        The text, and notices that name the widget.

    Raises:
        ValueError: If the text needs a package that is missing; names the widget and the package.
    """
    if not text or not text.strip():
        return PreparedText("")
    if as_released:
        return PreparedText(text)
    try:
        prepared = prepare_transcript(text.strip())
    except ImportError as error:
        raise ValueError(f"{field}: {error}") from error
    return PreparedText(prepared.text, tuple(f"{field}: {notice}" for notice in prepared.notices))


def prepare_voice_text(text: str, as_released: bool = False) -> PreparedText:
    """Prepare the transcript of a reference voice; a blank one gives a notice."""
    prepared = prepare_field(VOICE_TEXT, text, as_released)
    return prepared if prepared.text else PreparedText("", (NO_VOICE_TEXT,))


def set_sound_text(
    positive: list, text: str, end: float | None, as_released: bool = False
) -> tuple[list, tuple[str, ...]]:
    """Set the transcript of a sound that the user gave.

    Args:
        positive: CONDITIONING. Its transcript is spoken after the sound, or in it if the sound fills the clip.
        text: Transcript of the sound; blank if it is not known, or is already the conditioning's.
        end: End of the sound, seconds; None if it fills the clip.
        as_released: Leave ``text`` as it is written.

    Returns:
        The CONDITIONING, and notices.
    """
    prepared = prepare_field(SOUND_TEXT, text, as_released)
    transcripts = {speech.text for _, options in positive for speech in pass_settings_of(options).speeches} - {None}
    missing = () if prepared.text or (end is None and transcripts) else (NO_SOUND_TEXT,)
    notices = (*prepared.notices, *missing)
    if end is not None:
        return set_speech(positive, start=end, kept_transcript=prepared.text), notices
    if not prepared.text:
        return positive, notices
    unused = (TRANSCRIPT_UNUSED,) if transcripts - {prepared.text} else ()
    return set_speech(positive, text=prepared.text, as_written=text), (*notices, *unused)


def require_transcript(transcript: str, spell_out: bool = True, field: str = "transcript") -> PreparedText:
    """Prepare the transcript of a clip.

    Raises:
        ValueError: If it is empty, the model knows none of its characters, or a package is missing; names the field.
    """
    if not transcript.strip():
        raise ValueError(f"The {field} is empty. Write what the person says; the caption goes into the text encoder.")
    try:
        prepared = prepare_transcript(transcript, spell_out)
    except ImportError as error:
        raise ValueError(f"{field}: {error}") from error
    if not prepared.text.strip():
        start = transcript.strip()[:20]
        raise ValueError(f"The model knows none of the {field}'s characters: {start}. Write words in letters.")
    return prepared
