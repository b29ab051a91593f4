"""Vocoding in chunks, with a stand-in for a vocoder that hears a known number of frames to either side."""

import pytest
import torch
from torch import nn

from uniavgen_core.media.audio.bigvgan import BigVGAN, receptive_radius
from uniavgen_core.media.audio.vocoder_chunks import chunk_spans, in_chunks

HEARD = 5
HOP = 240


class Smear(nn.Module):
    """Makes 240 samples of a mel frame, out of it and five frames to either side; counts what it is given."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.filters = torch.randn(HOP, 80, 2 * HEARD + 1, generator=generator, dtype=torch.float64)
        self.given = []

    def forward(self, mel):
        self.given.append(mel.shape[-1])
        frames = torch.nn.functional.conv1d(mel.double(), self.filters, padding=HEARD)
        return frames.transpose(1, 2).flatten(1)


def mel_of(num_frames, batch=1):
    return torch.randn(batch, 80, num_frames, generator=torch.Generator().manual_seed(num_frames), dtype=torch.float64)


@pytest.mark.parametrize("num_frames", [1, 4, 16, 17, 33, 100, 127])
@pytest.mark.parametrize("chunk_frames", [1, 3, 16, 100])
def test_chunks_sound_as_one_pass_does(num_frames, chunk_frames):
    mel = mel_of(num_frames, batch=2)
    torch.testing.assert_close(in_chunks(Smear(), mel, chunk_frames, HEARD), Smear()(mel), rtol=0, atol=1e-9)


def test_a_margin_one_frame_too_small_is_heard():
    mel = mel_of(64)
    assert (in_chunks(Smear(), mel, 16, HEARD - 1) - Smear()(mel)).abs().max() > 1


def test_no_pass_sees_more_than_a_chunk_and_its_margins():
    smear, ticks = Smear(), []
    in_chunks(smear, mel_of(1_000), 64, HEARD, lambda: ticks.append(len(smear.given)))
    assert max(smear.given) <= 64 + 2 * HEARD
    assert ticks == list(range(1, 17))


@pytest.mark.parametrize(("num_frames", "chunk_frames"), [(1, 1), (506, 512), (513, 512), (1_000, 7), (6_000, 512)])
def test_spans_are_few_equal_and_cover_every_frame_once(num_frames, chunk_frames):
    spans = chunk_spans(num_frames, chunk_frames)
    assert [frame for start, end in spans for frame in range(start, end)] == list(range(num_frames))
    lengths = [end - start for start, end in spans]
    assert max(lengths) <= chunk_frames
    assert max(lengths) - min(lengths) <= 1
    assert len(spans) == -(-num_frames // chunk_frames)


class Plain:
    """The layers of the released vocoder."""

    upsample_rates = (5, 3, 2, 2, 2, 2)
    upsample_kernel_sizes = (11, 7, 4, 4, 4, 4)
    resblock_kernel_sizes = (3, 7, 11)
    resblock_dilation_sizes = ((1, 3, 5), (1, 3, 5), (1, 3, 5))


class Squeezed(nn.Module):
    """A network as ``transformers`` writes it: one sample a frame shown 240 times, cut off, without a batch of one."""

    config = Plain()

    def __init__(self):
        super().__init__()
        self.conv_post = nn.Identity()

    def forward(self, mel):
        return self.conv_post(mel.mean(1, keepdim=True).repeat_interleave(HOP, -1)).clamp(-1, 1).squeeze()


def test_the_released_vocoder_hears_38_frames_at_most():
    assert receptive_radius(Plain()) == 38


def test_the_widest_residual_block_and_every_stage_count():
    class Wider(Plain):
        resblock_dilation_sizes = ((1, 3, 5), (1, 3, 5), (1, 3, 15))

    class Shorter(Plain):
        upsample_rates, upsample_kernel_sizes = (5, 3), (11, 7)

    assert receptive_radius(Wider()) >= 38 + 50 // 5
    assert receptive_radius(Shorter()) < 38


@pytest.mark.parametrize("batch", [1, 3])
def test_clips_keep_their_order_their_batch_and_their_peaks(batch):
    mel = 20 * mel_of(70, batch).float()
    assert mel.mean(1).abs().max() > 1
    vocoder = BigVGAN(Squeezed())
    vocoder.chunk_frames = 20
    sound = vocoder.decode(mel)
    torch.testing.assert_close(sound, mel.mean(1).repeat_interleave(HOP, -1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(80, 20), (1, 64, 20), (1, 20, 80), (1, 80, 0), (0, 80, 20)])
def test_what_is_not_a_mel_is_refused(shape):
    with pytest.raises(ValueError, match="cannot be decoded"):
        BigVGAN(Squeezed()).decode(torch.zeros(shape))


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        BigVGAN(Squeezed()).decode(torch.full((1, 80, 20), float("nan")))
