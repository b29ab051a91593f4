"""Names of the user's media in messages."""


def subject(name: str) -> str:
    """A name such as ``the video`` as the first words of a sentence."""
    return name[:1].upper() + name[1:]
