"""Toons as video files, as users have clips: a folder with a manifest, and tar shards."""

import io
import json
import tarfile

import av
import numpy as np

from toon.clips.clip import make_clip
from toon.training.clip_source import toon_record
from uniavgen_core.shapes import FPS, SAMPLE_RATE


def write_video(file, frames, waveform, rate=FPS):
    """Write frames (F, H, W, 3) uint8 and sound (N,), None for no sound, as mp4; nearly without loss."""
    with av.open(file, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=rate, options={"crf": "4", "preset": "ultrafast", "g": "8"})
        video.height, video.width = frames.shape[1:3]
        video.pix_fmt = "yuv444p"
        audio = None if waveform is None else container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for picture in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        if audio is not None:
            audio.bit_rate = 192_000
            sound = av.AudioFrame.from_ndarray(waveform[None], format="fltp", layout="mono")
            sound.sample_rate, sound.pts = SAMPLE_RATE, 0
            container.mux(audio.encode(sound))
            container.mux(audio.encode())


def line_of(record, **changes):
    """A record as a line of a manifest."""
    values = {name: value for name, value in vars(record).items() if value is not None}
    return json.dumps({**values, **changes})


def write_toons(folder, count):
    """Write toons 0 to ``count`` - 1 as mp4 with a manifest; returns the manifest's lines."""
    lines = []
    for seed in range(count):
        clip = make_clip(seed)
        write_video(str(folder / f"toon_{seed}.mp4"), clip.frames, clip.waveform)
        lines.append(line_of(toon_record(clip), path=f"toon_{seed}.mp4"))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return lines


def write_shard(path, folder, lines, without=()):
    """Pack clips of a folder into one tar shard, but for some members."""
    with tarfile.open(path, "w") as tar:
        for line in lines:
            values = json.loads(line)
            key = values.pop("path").removesuffix(".mp4")
            members = {"mp4": (folder / f"{key}.mp4").read_bytes(), "json": json.dumps(values).encode()}
            for ending, content in members.items():
                if f"{key}.{ending}" in without:
                    continue
                info = tarfile.TarInfo(f"{key}.{ending}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def counting_frames(count, size=(32, 32)):
    """Frames whose grey is their number, two levels a frame."""
    return np.full((count, *size, 3), 0, np.uint8) + (2 * np.arange(count, dtype=np.uint8))[:, None, None, None]
