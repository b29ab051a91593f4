"""A long video as ComfyUI's VIDEO, which never holds all of its pictures unless someone asks for them.

Dimension key: F video frames, H and W pixel rows and columns.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import torch
from comfy_api.latest import Input, InputImpl, Types

from ....uniavgen_core.media.audio.sound import Sound
from ....uniavgen_core.shapes import FPS
from ..media.footage import check_memory
from ..media.mux import COMPOSITE, GENERATED, with_source_type, write_video
from ..media.stream_copy import CannotCopyError, OriginalVideo, find_original
from ..media.stream_encoders import CRF, EncodedPictures, EncodedSound, Pictures
from ..notices import interruptible_progress
from .segment_store import FinishedSegments
from .stored_runs import mark_saved

NAME = "the long video"


@dataclass(frozen=True)
class Film(Input.Video):
    """A long video: its segments stay on the disk, and are joined while the video is saved.

    Attributes:
        segments: Finished segments.
        pictures: Its pictures, read one by one.
        sound: Its sound.
        fps: Frames a second.
        keeps_sound: Whether the sound is the user's own, which is stored without loss.
        original: The user's VIDEO, of which the pictures are; None where they are generated.
        keeps_segments: Whether the segments stay on the disk after the video has been saved.
    """

    segments: FinishedSegments
    pictures: Pictures
    sound: Sound
    fps: Fraction = Fraction(FPS)
    keeps_sound: bool = False
    original: Any = None
    keeps_segments: bool = False

    def get_components(self) -> Types.VideoComponents:
        """All pictures and the sound in memory.

        Raises:
            ValueError: If the pictures would take more than half of the free memory.
        """
        check_memory(len(self.pictures), self.get_dimensions(), NAME)
        images = torch.empty(self.pictures.shape)
        for into, picture in zip(images, self.pictures, strict=True):
            into.copy_(picture)
        audio = Input.Audio(waveform=self.sound.waveform[None], sample_rate=self.sound.sample_rate)
        return Types.VideoComponents(images=images, audio=audio, frame_rate=self.fps)

    def get_dimensions(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return self.pictures.shape[2], self.pictures.shape[1]

    def get_frame_count(self) -> int:
        """Number of pictures."""
        return len(self.pictures)

    def get_frame_rate(self) -> Fraction:
        """Frames a second."""
        return self.fps

    def get_duration(self) -> float:
        """Length, seconds."""
        return float(len(self.pictures) / self.fps)

    def as_trimmed(
        self, start_time: float | None = None, duration: float | None = None, strict_duration: bool = False
    ) -> Input.Video | None:
        """A part of the video, of its encoded file."""
        whole = InputImpl.VideoFromFile(self.get_stream_source())
        return whole.as_trimmed(start_time or 0.0, duration or 0.0, strict_duration)

    def save_to(
        self,
        path: str | IO[bytes],
        format: Types.VideoContainer = Types.VideoContainer.AUTO,  # noqa: A002 - ComfyUI's name
        codec: Types.VideoCodec = Types.VideoCodec.AUTO,
        metadata: dict | None = None,
        bit_depth: int | None = None,
        crf: float | None = None,
    ) -> None:
        """Save the video as mp4; the arguments are ComfyUI's.

        Raises:
            ValueError: If the container or the codec is another than mp4 and H.264.
        """
        _require_mp4(format, codec)
        tags = {name: json.dumps(value) for name, value in (metadata or {}).items()}
        pictures = EncodedPictures(
            self.pictures, self.fps, crf=CRF if crf is None else crf, bit_depth=10 if (bit_depth or 8) > 8 else 8
        )
        is_free = crf is None and bit_depth is None
        chosen, step = self._copied(pictures) if is_free else pictures, interruptible_progress(len(self.pictures))
        if isinstance(path, str):
            self._write(Path(path), chosen, tags, step)
            if not self.keeps_segments:
                mark_saved(self.segments)
            return
        with TemporaryDirectory() as folder:
            file = Path(folder) / "film.mp4"
            self._write(file, chosen, tags, step)
            path.write(file.read_bytes())

    def write(self, path: Path) -> None:
        """Write the video as mp4 without progress and without a workflow, from any thread."""
        self._write(path, self._copied(EncodedPictures(self.pictures, self.fps)), {}, lambda: None)

    def _copied(self, pictures: EncodedPictures) -> EncodedPictures | OriginalVideo:
        """The packets of the user's own video, if they are its pictures and an mp4 file can hold them."""
        if self.original is None:
            return pictures
        try:
            found = find_original(self.original)
        except CannotCopyError as error:
            logging.info("UniAVGen: the video of %s is re-encoded, because %s.", NAME, error)
            return pictures
        return found if found.suffix == pictures.suffix else pictures

    def _write(
        self,
        path: Path,
        pictures: EncodedPictures | OriginalVideo,
        tags: Mapping[str, str],
        step: Callable[[], None],
    ) -> None:
        """Write pictures and sound, with a mark that says who made them."""
        sound = EncodedSound(self.sound, "flac" if self.keeps_sound else "aac")
        is_composite = self.keeps_sound or self.original is not None
        write_video(path, pictures, sound, with_source_type(tags, COMPOSITE if is_composite else GENERATED), step)


def _require_mp4(container: Types.VideoContainer, codec: Types.VideoCodec) -> None:
    """Refuse what ComfyUI's own videos refuse too."""
    if container not in (Types.VideoContainer.AUTO, Types.VideoContainer.MP4):
        raise ValueError(f"A long video is saved as mp4, not as {container}. Choose 'mp4' or 'auto' as the format.")
    if codec not in (Types.VideoCodec.AUTO, Types.VideoCodec.H264):
        raise ValueError(f"A long video is encoded with H.264, not with {codec}. Choose 'h264' or 'auto' as the codec.")
