"""A video codec that keeps the pictures it is given: what the model sees."""

import numpy as np
import torch
from PIL import Image


def recorder(pack, bundled=False):
    """A codec, of the release's model or the bundled one, whose ``seen`` are the pictures it was given to encode."""
    codecs = pack.nodes.host.media.vaes

    class Recorder(codecs.BundledVideoVAE if bundled else codecs.NormalizedVideoVAE):
        def __init__(self):
            self.seen = []

        def encode(self, pixel_samples):
            self.seen.append(pixel_samples)
            frames, height, width, _ = pixel_samples.shape
            return torch.zeros(1, 48, (frames + 6) // 4, height // 16, width // 16)

    return Recorder()


def stripes(width, height, frames=1):
    """Pictures (F, H, W, 3) of 8-bit levels: edges, lines of one pixel and noise, another in every frame."""
    rows, columns = np.arange(height)[:, None], np.arange(width)[None]
    random = np.random.default_rng(0)
    levels = np.empty((frames, height, width, 3), np.uint8)
    for number in range(frames):
        levels[number, ..., 0] = 255 * ((rows + number) % 2 ^ columns % 2)
        levels[number, ..., 1] = 20 + 210 * (rows // (7 + number) % 2 ^ columns // 3 % 2)
        levels[number, ..., 2] = np.frombuffer(random.bytes(height * width), np.uint8).reshape(height, width)
    return torch.from_numpy(levels).float() / 255


def by_pillow(pictures, size, box=None):
    """Pictures cut to a box (left, top, right, bottom), then brought to a size by Pillow alone."""
    levels = [Image.fromarray((picture.numpy() * 255).round().astype(np.uint8)).crop(box) for picture in pictures]
    resized = [np.array(picture.resize(size, Image.Resampling.BILINEAR)) for picture in levels]
    return torch.from_numpy(np.stack(resized)).float() / 255
