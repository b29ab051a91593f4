"""A finished clip whose spans can be sampled anew, with all the rest kept bit for bit.

Dimension key: F video frames, H and W pixel rows and columns, B batch, T video latents, S mel frames.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from comfy.nested_tensor import NestedTensor
from torch import Tensor

from ....uniavgen_core.media.audio.sound import Sound
from ....uniavgen_core.media.time_spans import EVERYTHING, NOTHING, Spans
from ....uniavgen_core.shapes import FPS, video_frames_of
from ..media.source_media import SourceMedia
from ..media.vaes import TiledVideoVAE
from ..sampling.joint_latent import keep_audio, keep_video, masks_of, split
from .keep_spans import keep_spans

Decode = Callable[[dict], tuple[Tensor, Sound]]
"""Function from a LATENT to pictures (F, H, W, 3) at 16 fps and sound of its first clip."""


@dataclass(frozen=True)
class FinishedClip:
    """A clip whose spans can be sampled anew.

    Attributes:
        latent: LATENT of one clip, with its noise mask.
        media: The clip's frames and sound as a source.
        locked: Spans of the pictures and of the sound that never change, in the clip's time.
    """

    latent: dict
    media: SourceMedia
    locked: tuple[Spans, Spans] = (NOTHING, NOTHING)

    @property
    def frames(self) -> Tensor:
        """The pictures, (F, H, W, 3).

        Raises:
            ValueError: If there are none.
        """
        if self.media.source.frames is None:
            raise ValueError("The clip has no video frames.")
        return self.media.source.frames

    @property
    def sound(self) -> Sound:
        """The sound.

        Raises:
            ValueError: If there is none.
        """
        if self.media.source.sound is None:
            raise ValueError("The clip has no audio.")
        return self.media.source.sound

    def locking(self, pictures: bool, sound: bool) -> "FinishedClip":
        """The clip with all of its pictures or all of its sound locked."""
        flags = zip((pictures, sound), self.locked, strict=True)
        locked_video, locked_audio = (EVERYTHING if is_whole else spans for is_whole, spans in flags)
        return replace(self, locked=(locked_video, locked_audio))

    def opened(self, spans: Spans) -> dict:
        """LATENT in which spans of the clip, in seconds, are generated, but for what is locked."""
        video, audio = split(self.latent)
        video_kept, audio_kept = (kept.shifted(-self.media.source.lead_seconds) for kept in self._kept(spans))
        latent = keep_video(self.latent, video, (~video_kept.latent_mask(video.shape[2])).float())
        weights = (~audio_kept.mel_mask(audio.shape[2])).float()
        for track in range(audio.shape[1]):
            latent = keep_audio(latent, audio[0, track], weights, track)
        return latent

    def with_takes(self, takes: Sequence[tuple[Spans, dict]]) -> dict:
        """LATENT of the clip with some spans taken from others.

        Args:
            takes: Disjoint spans of the clip, and the LATENT that each comes from, which was sampled from ``opened``.
        """
        video, audio = (part.clone() for part in split(self.latent))
        for spans, sampled in takes:
            kept = spans.shifted(-self.media.source.lead_seconds).inverted()
            latents, mel_frames = ~kept.latent_mask(video.shape[2]), ~kept.mel_mask(audio.shape[2])
            new_video, new_audio = split(sampled)
            video[:, :, latents] = new_video[:, :, latents].to(video)
            audio[:, :, mel_frames] = new_audio[:, :, mel_frames].to(audio)
        return {**self.latent, "samples": NestedTensor((video, audio))}

    def keeping(self, spans: Spans) -> SourceMedia:
        """Media that keep all but some spans of the clip, and what is locked."""
        video_kept, audio_kept = self._kept(spans)
        return replace(self.media, source=replace(self.media.source, video_kept=video_kept, audio_kept=audio_kept))

    def _kept(self, spans: Spans) -> tuple[Spans, Spans]:
        locked_video, locked_audio = self.locked
        return spans.inverted().united(locked_video), spans.inverted().united(locked_audio)


def clip_of_latent(latent: dict, given: SourceMedia | None, decode: Decode) -> FinishedClip:
    """Finished clip of a sampled LATENT; of a batch, the first.

    Args:
        latent: Joint LATENT.
        given: The user's own parts of the clip, if any.
        decode: Decoder.
    """
    latent, own = _first_clip(latent), given or SourceMedia()
    frames, fps, sound = own.restore(*decode(latent))
    is_original = frames is own.source.frames
    source = replace(own.source, frames=frames, fps=own.fps or Fraction(fps), sound=sound)
    media = SourceMedia(source, own.gain, own.video if is_original else None, is_generated=not own.keeps_any)
    return FinishedClip(latent, media, (own.source.video_kept, own.source.audio_kept))


def clip_of_video(
    latent: dict, video_vae: TiledVideoVAE, video: object, sound: dict | None
) -> tuple[FinishedClip, list[str]]:
    """Finished clip of a user's VIDEO, and notices.

    Args:
        latent: Joint LATENT of its length and size.
        video_vae: VAE that encodes it.
        video: The VIDEO.
        sound: AUDIO in the place of its own sound, or None.

    Raises:
        ValueError: If there is no sound.
    """
    latent, media, notices = keep_spans(_first_clip(latent), video_vae, video, sound, EVERYTHING, EVERYTHING)
    source, seconds = media.source, video_frames_of(split(latent)[0].shape[2]) / FPS
    if source.frames is not None:
        source = replace(source, frames=source.frames[: round(seconds * source.fps)])
    free = {name: value for name, value in latent.items() if name != "noise_mask"}
    return FinishedClip(free, replace(media, source=source)), notices


def _first_clip(latent: dict) -> dict:
    """LATENT of the first clip of a batch."""
    parts, masks = ([part[:1] for part in both] for both in (split(latent), masks_of(latent)))
    kept = {name: value for name, value in latent.items() if name != "batch_index"}
    return {**kept, "samples": NestedTensor(parts), "noise_mask": NestedTensor(masks)}
