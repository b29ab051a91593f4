"""A user's own frames and sound, which are restored untouched in what was generated.

Dimension key: F and G video frames, H and W pixel rows and columns.
"""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ....uniavgen_core.media.audio.sound import Sound
from ....uniavgen_core.media.restore import Source, restore_frames, restore_sound
from ....uniavgen_core.media.time_spans import NOTHING, Spans

SourceMediaType = io.Custom("UNIAVGEN_SOURCE_MEDIA")  # the name in saved graphs


@dataclass(frozen=True)
class SourceMedia:
    """The user's own frames and sound of one clip.

    Attributes:
        source: Frames and sound with the spans that are kept.
        gain: Factor from the level of the user's sound to the model's.
        video: The VIDEO that the source's frames come from, or None.
        is_generated: Whether frames and sound of the source were generated too, as in a clip of which spans are sampled
            anew.
    """

    source: Source = field(default_factory=Source)
    gain: float = 1.0
    video: Any = None
    is_generated: bool = False

    @property
    def fps(self) -> Fraction | None:
        """Exact rate of the source's frames, None without frames."""
        return None if self.source.frames is None else Fraction(self.source.fps)

    @property
    def keeps_sound(self) -> bool:
        """True if any of the user's sound is kept."""
        return not self.is_generated and self.source.sound is not None and bool(self.source.audio_kept)

    @property
    def keeps_any(self) -> bool:
        """True if any of the user's frames or sound is kept."""
        keeps_frames = self.source.frames is not None and bool(self.source.video_kept)
        return self.keeps_sound or (keeps_frames and not self.is_generated)

    def is_whole_video(self, images: Tensor) -> bool:
        """True if pictures (F, H, W, 3) are the frames of the source, all of them and no others."""
        own = self.source.frames
        return own is not None and (images is own or (images.shape == own.shape and torch.equal(images, own)))

    def restore(self, images: Tensor, sound: Sound, vocoded: bool = False) -> tuple[Tensor, float, Sound]:
        """Restore the kept parts in a decoded clip.

        Args:
            images: Generated pictures at 16 fps, (G, H, W, 3).
            sound: Generated sound at the level of its mel.
            vocoded: Leave the model's copy of kept sound in place of the original.

        Returns:
            Pictures (F, H, W, 3), their frames a second, and the sound at the original's rate, whose generated
            parts are not clipped.
        """
        source = self.source
        if vocoded:  # of the original, only the sound before the clip stays, which the model never had
            kept = Spans(((0.0, source.lead_seconds),)) if source.lead_seconds else NOTHING
            source = replace(source, audio_kept=kept)
        frames, fps = restore_frames(images, source)
        sound = restore_sound(Sound(sound.waveform / self.gain, sound.sample_rate), source)
        return frames, float(fps), sound
