"""Damaged sounds, videos and pictures, seeded: each is used or refused in words, by the nodes that decode them."""

from random import Random

import pytest
import torch

from tools.torture.byte_damage import BYTES
from tools.torture.media_files import media_files

CASES = 40
"""Cases for each way in which a kind of file is read."""


@pytest.fixture(scope="module")
def good():
    return media_files()


def video_at(path):
    from comfy_api.latest import InputImpl

    return InputImpl.VideoFromFile(str(path))


def dub(studio, path):
    studio.task("dubbing", video=video_at(path))


def continue_clip(studio, path):
    studio.task("continuation", video=video_at(path), keep_seconds=0.5, seconds=0.5, result="from_kept_part")


def read_in_spans(studio, path):
    """As 'UniAVGen Long Video' reads a video that it dubs, and saves it."""
    spans, _ = studio.nodes.host.media.video_spans.VideoSpans.of(video_at(path), "the video")
    for frames in (spans.own_frames(0, 4), spans.at_model_rate(0, 17)):
        assert torch.isfinite(frames).all()
    copying = studio.nodes.host.media.stream_copy
    try:
        copying.find_original(video_at(path))
    except copying.CannotCopyError:
        return


@pytest.mark.parametrize("ending", ["mp4", "webm"])
@pytest.mark.parametrize("use", [dub, continue_clip, read_in_spans])
def test_a_damaged_video_is_used_or_refused_in_words(studio, good, tmp_path, use, ending):
    refused = []
    for case in range(CASES):
        random = Random(f"{use.__name__} {ending} {case}")
        damage = random.choice(BYTES)
        path = tmp_path / f"case_{case}.{ending}"
        path.write_bytes(damage(random, good[ending]))
        try:
            use(studio, path)
        except ValueError as error:
            refused.append(str(error))
    assert 0 < len(refused) < CASES
    assert all(len(words.split()) > 3 for words in refused), refused
