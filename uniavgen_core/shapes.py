"""Unit arithmetic: seconds, video frames, latent frames, mel frames and their sizes. No torch.

The numbers are the released model's: 16 fps video, 24 kHz sound with 100 mel frames a second, and the Wan2.2 video
codec (48 channels, 4x16x16, causal: latent frame 0 holds video frame 0, latent frame i > 0 holds the four after).
Source: UniAVGen (arXiv:2511.03334) and its inference release.
"""

from dataclasses import dataclass
from math import ceil, floor

FPS = 16
SAMPLE_RATE = 24_000
HOP_LENGTH = 240
MEL_RATE = SAMPLE_RATE // HOP_LENGTH
MEL_BINS = 80
LATENT_CHANNELS = 48
SPATIAL_FACTOR = 16
TEMPORAL_FACTOR = 4
SIZE_MULTIPLE = 32


def latent_frames_of(video_frames: int) -> int:
    """Latent frames that hold ``video_frames`` frames; an incomplete group of four counts as one."""
    return ceil((video_frames - 1) / TEMPORAL_FACTOR) + 1


def video_frames_of(latent_frames: int) -> int:
    """Video frames that ``latent_frames`` latent frames decode to."""
    return TEMPORAL_FACTOR * (latent_frames - 1) + 1


def mel_frames_of(video_frames: int) -> int:
    """Mel frames that last as long as ``video_frames`` frames of video, rounded down as in the release."""
    return video_frames * MEL_RATE // FPS


def video_frames_in(seconds: float) -> int:
    """Number of video frames nearest to ``seconds`` that the codec can hold: 4n + 1, at least 5."""
    return video_frames_of(max(2, round((seconds * FPS - 1) / TEMPORAL_FACTOR) + 1))


def video_frames_covering(seconds: float) -> int:
    """Fewest video frames that last ``seconds`` or more and that the codec can hold: 4n + 1, at least 5."""
    return max(video_frames_of(2), video_frames_of(latent_frames_of(ceil(seconds * FPS - 1e-6))))


def video_frames_within(seconds: float) -> int:
    """Most video frames that last ``seconds`` or less and that the codec can hold: 4n + 1, at least 5."""
    return max(video_frames_of(2), (floor(seconds * FPS + 1e-6) - 1) // TEMPORAL_FACTOR * TEMPORAL_FACTOR + 1)


@dataclass(frozen=True)
class AVShape:
    """Size of one joint clip.

    Attributes:
        width: Picture width, pixels, a multiple of 32.
        height: Picture height, pixels, a multiple of 32.
        video_frames: Frames at 16 fps, 4n + 1.

    Raises:
        ValueError: If a side is not a positive multiple of 32, or the frames are not 4n + 1.
    """

    width: int
    height: int
    video_frames: int

    def __post_init__(self) -> None:
        for name, side in (("width", self.width), ("height", self.height)):
            if side <= 0 or side % SIZE_MULTIPLE:
                nearest = max(SIZE_MULTIPLE, round(side / SIZE_MULTIPLE) * SIZE_MULTIPLE)
                raise ValueError(
                    f"{name} is {side}; it must be a positive multiple of {SIZE_MULTIPLE}, such as {nearest}."
                )
        if self.video_frames < 5 or self.video_frames % TEMPORAL_FACTOR != 1:
            raise ValueError(f"video_frames is {self.video_frames}; it must be 4n + 1 and at least 5.")

    @classmethod
    def from_seconds(cls, width: int, height: int, seconds: float) -> "AVShape":
        """Shape of the clip whose length is nearest to ``seconds``."""
        return cls(width, height, video_frames_in(seconds))

    @property
    def label(self) -> str:
        """Width, height and video frames, such as ``1280x736x81``."""
        return f"{self.width}x{self.height}x{self.video_frames}"

    @property
    def seconds(self) -> float:
        """Length of the video, seconds."""
        return self.video_frames / FPS

    @property
    def latent_frames(self) -> int:
        """Latent frames of the video."""
        return latent_frames_of(self.video_frames)

    @property
    def mel_frames(self) -> int:
        """Mel frames of the sound."""
        return mel_frames_of(self.video_frames)

    @property
    def video(self) -> tuple[int, int, int, int, int]:
        """Video latent of one clip, (B, C, T, H, W)."""
        rows, columns = self.height // SPATIAL_FACTOR, self.width // SPATIAL_FACTOR
        return (1, LATENT_CHANNELS, self.latent_frames, rows, columns)

    @property
    def audio(self) -> tuple[int, int, int, int]:
        """Audio latent of one clip, (B, 1, mel_frames, MEL_BINS)."""
        return (1, 1, self.mel_frames, MEL_BINS)
