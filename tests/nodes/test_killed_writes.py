"""A process that is killed while it saves leaves what was whole, and nothing that is half under a whole file's name."""

import hashlib

import torch

from tests.killed_writes import Writer, assert_never_half
from tests.nodes.saved_latents import clip


def content(*tensors):
    return [hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest() for tensor in tensors]


def noise(version, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(version))


def test_segments_of_long_videos(studio, tmp_path):
    """The first version is another segment of the same run, which has to stay."""
    store_of = studio.nodes.host.long_video.segment_store

    def write(folder, version):
        store = store_of.SegmentStore(folder, "f" * 16)
        frames = (255 * noise(version, 5, 32, 32, 3)).to(torch.uint8)
        store.save(version, f"{version}" * 16, store_of.Segment(frames, noise(version, 7500)))

    def read(folder):
        store = store_of.SegmentStore(folder, "f" * 16)
        found = [store.load(version, f"{version}" * 16) for version in (1, 2)]
        assert store.damaged == []
        return [content(segment.frames, segment.waveform) for segment in found if segment is not None]

    assert_never_half(Writer(write, read), tmp_path)


def test_saved_latents(studio, tmp_path):
    files = studio.nodes.host.sampling.saved_latents

    def write(folder, version):
        latent = clip()
        for part in latent["samples"].unbind():
            part.copy_(noise(version, *part.shape))
        files.write_latent(folder / "a.safetensors", latent, {"prompt": "{}"})

    def read(folder):
        return content(*files.read_latent(folder / "a.safetensors", torch.device("cpu"))["samples"].unbind())

    assert_never_half(Writer(write, read), tmp_path)


def test_saved_videos(studio, tmp_path):
    """Under the next free name, as the node does it."""
    media = studio.nodes.host.media

    def write(folder, version):
        saved = studio.nodes.save_video
        images, audio = noise(version, 9, 32, 32, 3), {"waveform": noise(version, 1, 1, 13_500), "sample_rate": 24_000}
        clip = media.save_plan.Clip.of(images, audio, media.source_media.SourceMedia(), 16)
        plan = media.save_plan.plan_files(clip, saved.AUTO, saved.LOSSLESS)
        media.save_plan.save_clip(plan, folder / f"clip_{version:05}_.mp4", {})

    def read(folder):
        from comfy_api.latest import InputImpl

        films = sorted(folder.glob("*.mp4"))
        return [content(InputImpl.VideoFromFile(str(path)).get_components().images) for path in films]

    assert_never_half(Writer(write, read), tmp_path)
