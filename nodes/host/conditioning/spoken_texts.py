"""Every text that is spoken, on its way from a widget to the network: prepared in one way, with notices by field."""

from ....uniavgen_core.text.transcript import PreparedText, prepare_transcript
from .pass_settings import pass_settings_of, set_speech

VOICE_TEXT, KEPT_TEXT, SOUND_TEXT = "voice_text", "kept_text", "sound_text"
NO_VOICE_TEXT = (
    "The reference voice has no transcript: the voice is copied less faithfully, and the first words may be "
    "blurred. Write what it says for a better result."
)
WITHOUT_WORDS = "Without them the mouth opens less, on the bundled model by 12 %."
NO_SOUND_TEXT = (
    "The words of the given sound are missing. Write what is said in it into 'sound_text', or connect 'UniAVGen Speech "
    f"Text', also where nothing is said after it. {WITHOUT_WORDS}"
)
NO_SOUND_WORDS = (
    f"The words of the kept sound are missing. Connect 'UniAVGen Speech Text' with what is said in it. {WITHOUT_WORDS}"
)
TRANSCRIPT_UNUSED = (
    "The sound lasts as long as the clip, so nothing is said after it: the model reads 'sound_text', and the "
    "transcript is not used. For more speech after the sound, set a longer clip in 'seconds'."
)


def prepare_field(field: str, text: str, as_released: bool = False) -> PreparedText:
    """Prepare the text of one field as a transcript is prepared.

    Args:
        field: Name of the widget, for messages.
        text: What the user wrote; blank for nothing.
        as_released: Leave the text as it is, without preparation and with its white space.

    Returns:
        The text, and notices that name the field.

    Raises:
        ValueError: If a package is missing that the text needs; names the field and the package.
    """
    if not text.strip():
        return PreparedText("")
    if as_released:
        return PreparedText(text)
    try:
        prepared = prepare_transcript(text.strip())
    except ImportError as error:
        raise ValueError(f"{field}: {error}") from error
    return PreparedText(prepared.text, tuple(f"{field}: {notice}" for notice in prepared.notices))


def prepare_voice_text(text: str, as_released: bool = False) -> PreparedText:
    """Prepare the transcript of a reference voice; a missing one is a notice."""
    prepared = prepare_field(VOICE_TEXT, text, as_released)
    return prepared if prepared.text else PreparedText("", (NO_VOICE_TEXT,))


def set_sound_text(
    positive: list, text: str, end: float | None, as_released: bool = False
) -> tuple[list, tuple[str, ...]]:
    """Tell the model what is said in a sound that is given.

    Args:
        positive: CONDITIONING; its transcript is what is said after the sound, or in it if the sound fills the clip.
        text: What is said in the sound; blank where that is not known, or the transcript says it.
        end: When the sound ends, seconds; None for a sound that fills the clip.
        as_released: Leave ``text`` as it is written.

    Returns:
        The CONDITIONING, and notices.
    """
    said = prepare_field(SOUND_TEXT, text, as_released)
    transcripts = {speech.text for _, options in positive for speech in pass_settings_of(options).speeches} - {None}
    missing = () if said.text or (end is None and transcripts) else (NO_SOUND_TEXT,)
    notices = (*said.notices, *missing)
    if end is not None:
        return set_speech(positive, start=end, kept_text=said.text), notices
    if not said.text:
        return positive, notices
    unused = (TRANSCRIPT_UNUSED,) if transcripts - {said.text} else ()
    return set_speech(positive, text=said.text, as_written=text), (*notices, *unused)


def field_error(field: str, text: str | None) -> str | None:
    """Why the text of a field cannot be prepared, in words for the user; None if it can, or is linked."""
    try:
        prepare_field(field, text or "")
    except ValueError as error:
        return str(error)
    return None


def transcript_error(transcript: str, spell_out: bool = True, field: str = "transcript") -> str | None:
    """The fault of a transcript, in words for the user; None if it has none."""
    if not transcript.strip():
        return f"The {field} is empty. Write what the person says; the caption goes into the text encoder."
    try:
        prepared = prepare_transcript(transcript, spell_out)
    except ImportError as error:
        return f"{field}: {error}"
    if not prepared.text.strip():
        return f"The model knows none of the {field}'s characters: {transcript.strip()[:20]} Write it in letters."
    return None
