"""One small media file of each kind that people give ComfyUI, made from a bundled clip."""

import io

import av
import numpy as np

from ..contact_sheet import Clip, read_clip
from ..environment import ROOT

ASSETS = ROOT / "uniavgen_core" / "assets"
CLIP, PORTRAIT = ASSETS / "clips" / "toon_7.mp4", ASSETS / "portraits" / "toon_5_happy.png"
CODECS = {
    "wav": (None, "pcm_s16le", 24_000),
    "mp3": (None, "libmp3lame", 24_000),
    "webm": ("libvpx-vp9", "libopus", 48_000),
}
"""Codec of the pictures, or None for none, codec of the sound, and its sample rate in Hz."""


def media_files() -> dict[str, bytes]:
    """Contents of a good file of each kind, by its ending."""
    made = {ending: _encoded(read_clip(CLIP), ending) for ending in CODECS}
    return {**made, "mp4": CLIP.read_bytes(), "png": PORTRAIT.read_bytes()}


def _encoded(clip: Clip, ending: str) -> bytes:
    """A clip in another container."""
    video_codec, audio_codec, rate = CODECS[ending]
    target = io.BytesIO()
    with av.open(target, "w", format=ending) as file:
        pictures = file.add_stream(video_codec, rate=round(clip.fps)) if video_codec else None
        sound = file.add_stream(audio_codec, rate=rate, layout="mono")
        if pictures is not None:
            pictures.height, pictures.width = clip.frames.shape[1:3]
            pictures.pix_fmt = "yuv420p"
            for picture in clip.frames:
                file.mux(pictures.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(pictures.encode(None))
        for frame in _resampled(clip, sound.codec_context):
            file.mux(sound.encode(frame))
        file.mux(sound.encode(None))
    return target.getvalue()


def _resampled(clip: Clip, codec: av.AudioCodecContext) -> list[av.AudioFrame]:
    """The clip's sound in frames that a codec takes."""
    whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(clip.sound[None]), format="flt", layout="mono")
    whole.sample_rate, whole.pts = clip.sample_rate, 0
    resampler = av.AudioResampler(codec.format, codec.layout, codec.sample_rate, codec.frame_size or None)
    return [*resampler.resample(whole), *resampler.resample(None)]
