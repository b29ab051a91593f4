"""Random choices for one example of a batch: the clip, the parts of it that are kept, the texts that are dropped.

Dimension key: C latent channels, T latent frames, H and W latent rows and columns, S mel frames.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...config import Interaction
from ...shapes import mel_frames_of, video_frames_of
from ...tasks import Keep
from ..task_sampling import TaskSample
from .clip_store import EncodedClip


@dataclass(frozen=True)
class SourceConfig:
    """Random choices made for each clip. None of it is published; each has its reason.

    Attributes:
        speech_dropout: Share of examples whose speech text is dropped: guidance needs the null text, and more of it
            than of the caption, because it steers more. Steps with interactions off have a share of their own, in the
            task's sample.
        caption_dropout: Share of examples whose caption is dropped.
        voice_frames: Lengths of reference voices, mel frames, 1.5 to 3 s; the task's sample says which. The middle one
            holds a toon's sentence.
        kept_latents: Least and most latents a continuation keeps.
        kept_jitter: Most mel frames by which the kept sound is shorter or longer than the kept video: users do not cut
            both at the same moment.
        cached_clips: Clips kept in memory.

    Raises:
        ValueError: If a share is not in [0, 1], or a length not positive.
    """

    speech_dropout: float = 0.2
    caption_dropout: float = 0.1
    voice_frames: tuple[int, ...] = (150, 206, 300)
    kept_latents: tuple[int, int] = (1, 16)
    kept_jitter: int = 10
    cached_clips: int = 64

    def __post_init__(self) -> None:
        for name in ("speech_dropout", "caption_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be in [0, 1].")
        if not self.voice_frames or min(self.voice_frames) < 1:
            raise ValueError(f"voice_frames is {self.voice_frames}; it needs a length, and each at least 1.")
        if not 1 <= self.kept_latents[0] <= self.kept_latents[1] or self.kept_jitter < 0:
            raise ValueError(
                f"kept_latents is {self.kept_latents} and kept_jitter {self.kept_jitter}; at least one latent is kept, "
                "and jitter is not negative."
            )


@dataclass(frozen=True)
class Bucket:
    """Clips of one shape, of which a batch can be made.

    Attributes:
        latents: Shape of their latents, (C, T, H, W); H and W are 0 for sound alone.
        mel_frames: Mel frames S.
        clips: Their numbers in the source.
    """

    latents: tuple[int, int, int, int]
    mel_frames: int
    clips: np.ndarray

    @property
    def is_sound_alone(self) -> bool:
        """True if the clips have no picture."""
        return self.latents[2] == 0


@dataclass(frozen=True)
class ClipChoice:
    """Random choices for one example.

    Attributes:
        clip: Its number in the source.
        textless: Whether its speech text is dropped.
        captionless: Whether its caption is.
        kept_latents: Latents that are given.
        kept_mel: Mel frames that are given.
    """

    clip: int
    textless: bool
    captionless: bool
    kept_latents: int
    kept_mel: int


def choose_clip(
    sample: TaskSample, usable: np.ndarray, bucket: Bucket, config: SourceConfig, random: np.random.Generator
) -> ClipChoice:
    """Choose the clip of one example; takes the same draws in the same order whatever the task.

    Args:
        sample: The task.
        usable: Numbers of the clips to choose from, all of the bucket.
        bucket: Its shape.
        config: Shares and lengths.
        random: The example's own generator.
    """
    clip = int(usable[random.integers(len(usable))])
    points = random.random(2)
    least, most = (min(latents, bucket.latents[1] - 1) for latents in config.kept_latents)
    prefix = int(random.integers(least, most + 1))
    jitter = int(random.integers(-config.kept_jitter, config.kept_jitter + 1))
    kept_latents, kept_mel = 1, bucket.mel_frames if sample.task.audio is Keep.ALL else 0
    if sample.task.video is Keep.START:
        kept_latents = prefix
        kept_mel = int(np.clip(mel_frames_of(video_frames_of(prefix)) + jitter, 0, bucket.mel_frames - 1))
    elif sample.task.video is Keep.ALL:
        kept_latents = bucket.latents[1]
    if sample.interaction is Interaction.OFF:  # The null pass of guidance: both texts are dropped together.
        textless = captionless = bool(points[0] < sample.text_dropout)
    else:
        textless, captionless = bool(points[0] < config.speech_dropout), bool(points[1] < config.caption_dropout)
    return ClipChoice(clip, textless, captionless, kept_latents, kept_mel)


def group_clips(clips: Sequence[EncodedClip]) -> tuple[Bucket, ...]:
    """Clips by shape, in an order that does not depend on that of the clips."""
    shapes = defaultdict(list)
    for number, clip in enumerate(clips):
        shapes[tuple(clip.latents), clip.mel_frames].append(number)
    found = sorted(shapes.items())
    return tuple(Bucket(latents, mel_frames, np.array(numbers)) for (latents, mel_frames), numbers in found)
