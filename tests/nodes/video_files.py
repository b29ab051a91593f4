"""Video files that tests draw, and what is in a file: packets, sound, pictures."""

from fractions import Fraction

import av
import numpy as np
import torch

NTSC = Fraction(30_000, 1001)


def write_file(path, frames, fps=NTSC, sound=None, codec="libx264", rotate=False, **options):
    """Write frames (F, H, W, 3) in [0, 1] and an AUDIO as h264 and AAC."""
    with av.open(str(path), "w") as file:
        video = file.add_stream(codec, rate=fps, options={name: str(value) for name, value in options.items()})
        video.height, video.width = frames.shape[1:3]
        video.pix_fmt = "yuv420p" if codec.startswith("libx264") else video.codec.video_formats[0].name
        if sound is not None:
            audio = file.add_stream("aac", rate=sound["sample_rate"], layout="mono")
        for frame in frames:
            file.mux(video.encode(av.VideoFrame.from_ndarray((frame * 255).byte().numpy(), format="rgb24")))
        file.mux(video.encode(None))
        if sound is not None:
            samples = av.AudioFrame.from_ndarray(sound["waveform"][0].mean(0, keepdim=True).numpy(), "fltp", "mono")
            samples.sample_rate = sound["sample_rate"]
            file.mux(audio.encode(samples))
            file.mux(audio.encode(None))
    if rotate:
        _rotate(path)
    return path


def _rotate(path):
    """Turn an mp4's picture by a quarter, as phones do: in the matrix of its track header."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 8 + 36
    data[matrix : matrix + 36] = b"".join(
        value.to_bytes(4, "big", signed=True) for value in (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    )
    path.write_bytes(data)


def packets_of(path, kind="video"):
    """Bytes, time of showing, and duration of every packet of the first stream of a kind; times from the first."""
    with av.open(str(path)) as file:
        stream = getattr(file.streams, kind)[0]
        found = [packet for packet in file.demux(stream) if packet.size]
        first = min(packet.pts for packet in found)
        base = stream.time_base
        return [(bytes(packet), (packet.pts - first) * base, packet.duration * base) for packet in found]


def sound_of(path):
    """Codec, rate and samples (C, N) of a file's sound, float64."""
    with av.open(str(path)) as file:
        stream = file.streams.audio[0]
        name, rate, channels = stream.codec_context.name, stream.codec_context.sample_rate, stream.channels
        parts = []
        for frame in file.decode(stream):
            array = frame.to_ndarray()
            whole = {"s16": 2**15, "s32": 2**31}.get(frame.format.name)
            parts.append(array.reshape(-1, channels).T / whole if whole else array)
    return name, rate, torch.from_numpy(np.concatenate(parts, 1).astype(np.float64))


def pictures_of(path):
    """Rate and pictures of a file as ComfyUI loads it."""
    from comfy_api.latest import InputImpl

    parts = InputImpl.VideoFromFile(str(path)).get_components()
    return parts.frame_rate, parts.images


def tags_of(path):
    """Metadata of a file."""
    with av.open(str(path)) as file:
        return dict(file.metadata)


def psnr(one, other):
    """Peak signal-to-noise ratio of pictures in [0, 1], dB."""
    return -10 * (one.double() - other.double()).square().mean().log10().item()
