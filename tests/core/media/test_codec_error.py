"""Crisp kept frames beside soft generated ones: the look turns slowly, and what moves leaves no ghost."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F

from uniavgen_core.media.restore import Source, restore_frames
from uniavgen_core.media.time_spans import parse_spans


def softened(frames):
    """Frames (F, H, W, 3) as a codec gives them back: without fine detail."""
    blurred = F.avg_pool2d(F.pad(frames.movedim(-1, 1), (2, 2, 2, 2), mode="replicate"), 5, 1)
    return blurred.movedim(1, -1)


def scene(count, step=0):
    """A patterned wall, and in front of it a bright square that moves ``step`` pixels a frame, (F, 48, 64, 3)."""
    wall = 0.3 + 0.2 * torch.rand(48, 64, 3, generator=torch.Generator().manual_seed(0))
    frames = wall.repeat(count, 1, 1, 1)
    for number in range(count):
        frames[number, 16:32, 4 + step * number : 16 + step * number] = 0.95
    return frames


def steps_of(frames):
    """Mean change from each frame to the next."""
    return (frames[1:] - frames[:-1]).abs().mean((1, 2, 3))


def joined(frames, generated, spans, fps=16):
    source = Source(frames=frames, fps=fps, video_kept=parse_spans(spans), ends_with_source=True)
    return restore_frames(generated, source)[0]


@pytest.mark.parametrize(
    ("spans", "fps"), [("0-1", 16), ("1-", 16), ("0-1", Fraction(30_000, 1001)), ("0-0.5, 1.5-", 25)]
)
def test_a_still_picture_turns_soft_without_a_step(spans, fps):
    frames, generated = scene(round(2 * fps)), softened(scene(33))
    jump = (frames[0] - generated[0]).abs().mean()
    assert jump > 0.03
    result = joined(frames, generated, spans, fps)
    assert steps_of(result).max() < jump / 4


def test_the_look_of_the_clip_is_back_half_a_second_after_the_join():
    frames, generated = scene(32), softened(scene(33))
    result = joined(frames, generated, "0-1")
    assert torch.equal(result[:16], frames[:16])
    assert torch.equal(result[24:], generated[24:32])
    softness = (result[16:24] - generated[16:24]).abs().mean((1, 2, 3))
    assert (softness.diff() < 0).all()


def test_what_moves_over_the_join_leaves_no_ghost():
    frames, generated = scene(32, step=2), softened(scene(33, step=2))
    result = joined(frames, generated, "0-1")
    for number in range(16, 24):
        truth = frames[number]
        carried, plain = ((part[number] - truth).abs() for part in (result, generated))
        assert carried.mean() < plain.mean()
        assert carried.max() < 1.2 * plain.max()


def test_a_generated_face_elsewhere_than_the_kept_one_is_not_mixed_with_it():
    """Beside a gap the generated version may show something else than the kept frame does."""
    frames, generated = scene(32), softened(scene(33))
    generated[12:, 16:32, 40:52] = 0.05
    result = joined(frames, generated, "0-1")
    assert (result[16:, 20:28, 44:48] - generated[16:32, 20:28, 44:48]).abs().max() < 0.1


def test_colours_stay_within_their_range():
    frames, generated = scene(32).clamp(max=0.4) * 2.5, softened(scene(33))
    result = joined(frames, generated, "0-1")
    assert 0 <= result.min() <= result.max() <= 1
