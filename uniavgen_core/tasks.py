"""The tasks of the model: the parts of a clip that are kept, the references, and the interactions that run.

A new task is one entry here, and the code that prepares what it keeps.
Source: UniAVGen (arXiv:2511.03334), section 3.5 and its inference release; continuation is in the paper only,
and new lips in a video are this project's.
"""

from dataclasses import dataclass
from enum import Enum

from .config import Interaction


class Keep(Enum):
    """Part of a modality that is given, and stays as it is while the rest is generated."""

    NOTHING = "nothing"
    FIRST = "first"
    """The first video latent, which is the reference image."""
    START = "start"
    AROUND = "around"
    """All of the picture but a region, such as a mouth."""
    ALL = "all"


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: Its name in files and on command lines.
        title: Its name on screen.
        video: What is kept of the video.
        audio: What is kept of the sound.
        reference_voice: Whether the clip speaks in the voice of a recording. Other tasks may have a voice besides.
        interaction: Directions that run in the pass with conditions.
        late_null_as_released: Directions of the release's null passes after the modality-aware share, where they are
            not ``interaction``; the difference looks like a slip.
        share: Number of times of ten that the paper's third stage draws the task.
    """

    name: str
    title: str
    video: Keep = Keep.FIRST
    audio: Keep = Keep.NOTHING
    reference_voice: bool = False
    interaction: Interaction = Interaction.BOTH
    late_null_as_released: Interaction | None = None
    share: int = 1


JOINT = Task("joint", "Image to talking video", share=4)
REFERENCE_VOICE = Task(
    "reference_voice",
    "Image to talking video with a reference voice",
    reference_voice=True,
    interaction=Interaction.AUDIO_TO_VIDEO,
    late_null_as_released=Interaction.BOTH,
)
AUDIO_DRIVEN = Task(
    "audio_driven",
    "Audio-driven (lip-sync to audio)",
    audio=Keep.ALL,
    interaction=Interaction.AUDIO_TO_VIDEO,
    share=2,
)
DUBBING = Task(
    "dubbing", "Video dubbing (video to speech)", video=Keep.ALL, interaction=Interaction.VIDEO_TO_AUDIO, share=2
)
CONTINUATION = Task("continuation", "Continuation", video=Keep.START, audio=Keep.START)
RELIP = Task("relip", "New words and lips in a video", video=Keep.AROUND, share=0)

PAPER_TASKS = (JOINT, REFERENCE_VOICE, AUDIO_DRIVEN, DUBBING, CONTINUATION)
TASKS = {task.name: task for task in (*PAPER_TASKS, RELIP)}


def interaction_for(video_kept: bool, audio_kept: bool) -> Interaction:
    """Directions that have something to update: none into a modality that is kept whole.

    Args:
        video_kept: Whether all of the video is kept.
        audio_kept: Whether all of the sound is kept.
    """
    if video_kept and audio_kept:
        return Interaction.OFF
    if audio_kept:
        return Interaction.AUDIO_TO_VIDEO
    return Interaction.VIDEO_TO_AUDIO if video_kept else Interaction.BOTH
