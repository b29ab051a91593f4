"""The released model's encoders, as tiny ones of the same classes saved to a folder: latents and captions."""

import shutil

import pytest
import torch

from uniavgen_core.training.data.clip_encoders import MOST_TOKENS, WanEncoders, clean_caption, open_encoders

CHANNELS = 48
WORDS = ["a", "woman", "is", "talking", "."]


def tiny_vae():
    from diffusers import AutoencoderKLWan

    torch.manual_seed(0)
    return AutoencoderKLWan(
        base_dim=4, decoder_base_dim=4, z_dim=CHANNELS, dim_mult=[1, 2, 4, 4], num_res_blocks=1,
        temperal_downsample=[False, True, True], latents_mean=[0.1 * i for i in range(CHANNELS)],
        latents_std=[1 + 0.1 * i for i in range(CHANNELS)], is_residual=True, in_channels=12, out_channels=12,
        patch_size=2, scale_factor_temporal=4, scale_factor_spatial=16,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in the layout of Wan2.2-TI2V-5B-Diffusers."""
    from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

    folder = tmp_path_factory.mktemp("wan")
    tiny_vae().save_pretrained(folder / "vae")
    config = UMT5Config(vocab_size=20, d_model=16, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    UMT5EncoderModel(config).to(torch.bfloat16).save_pretrained(folder / "text_encoder")
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *[(f"▁{word}", -1.0) for word in WORDS]]
    T5Tokenizer(vocab=pieces, extra_ids=0).save_pretrained(folder / "tokenizer")
    return folder


@pytest.fixture(scope="module")
def encoders(folder):
    return open_encoders(str(folder))


def frames_of(count, seed=0):
    return torch.rand(1, 3, count, 64, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize(("video_frames", "latent_frames"), [(1, 1), (5, 2), (9, 3)])
def test_each_channel_of_a_latent_sees_the_first_frame_and_then_fours(encoders, video_frames, latent_frames):
    frames = frames_of(9)
    shorter = encoders.video(frames[:, :, :video_frames])
    assert shorter.shape == (CHANNELS, latent_frames, 4, 2)
    torch.testing.assert_close(shorter, encoders.video(frames)[:, :latent_frames])


def test_the_first_latent_depends_on_the_first_frame_alone_and_no_latent_on_later_frames(encoders):
    frames = frames_of(9)
    changed = frames.clone()
    changed[:, :, 5:] = frames_of(4, seed=1)
    before, after = encoders.video(frames), encoders.video(changed)
    assert torch.equal(before[:, :2], after[:, :2])
    assert not torch.allclose(before[:, 2], after[:, 2], atol=1e-3)
    torch.testing.assert_close(encoders.video(frames[:, :, :1])[:, 0], before[:, 0])


def test_latents_are_the_mode_normalised_by_the_config(encoders):
    frames = frames_of(5)
    with torch.no_grad():
        raw = encoders.vae.encode(frames).latent_dist.mean[0]
    index = torch.arange(CHANNELS)[:, None, None, None]
    torch.testing.assert_close(encoders.video(frames), (raw - 0.1 * index) / (1 + 0.1 * index))


def test_captions_end_with_the_end_of_text_and_have_no_padding(encoders):
    features = encoders.caption("a woman is talking")
    assert features.shape == (5, 16)
    assert features.dtype == torch.float32
    ids = encoders.tokenizer("a woman is talking", return_tensors="pt").input_ids
    assert ids[0, -1] == encoders.tokenizer.eos_token_id
    with torch.no_grad():
        expected = encoders.text_encoder(ids).last_hidden_state[0].float()
    torch.testing.assert_close(features, expected)
    assert encoders.caption("").shape == (1, 16)


def test_a_padded_batch_would_give_the_same_features(encoders):
    tokens = encoders.tokenizer("a woman", padding="max_length", max_length=12, return_tensors="pt")
    with torch.no_grad():
        padded = encoders.text_encoder(tokens.input_ids, tokens.attention_mask).last_hidden_state[0].float()
    torch.testing.assert_close(encoders.caption("a woman"), padded[:3], atol=2e-2, rtol=2e-2)


def test_long_captions_are_cut_and_still_end(encoders):
    text = "a woman " * MOST_TOKENS
    assert len(encoders.caption(text)) == MOST_TOKENS
    ids = encoders.tokenizer(text, max_length=MOST_TOKENS, truncation=True).input_ids
    assert ids[-1] == encoders.tokenizer.eos_token_id


def test_captions_are_cleaned_as_the_release_does(encoders):
    assert clean_caption(" A&amp;lt;b \n\t cafÃ© ") == "A<b café"
    torch.testing.assert_close(encoders.caption("  a \n woman\t"), encoders.caption("a woman"))


def test_encoders_are_named_after_their_weights(folder, encoders, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert WanEncoders(copy).name == encoders.name
    config = copy / "vae" / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"base_dim": 4', '"base_dim":  4'), encoding="utf-8")
    assert WanEncoders(copy).name != encoders.name


def test_a_folder_that_lacks_a_part_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no folder vae with the video codec"):
        WanEncoders(tmp_path)
    for part in ("vae", "text_encoder", "tokenizer"):
        (tmp_path / part).mkdir()
    with pytest.raises(ValueError, match="cannot be loaded"):
        WanEncoders(tmp_path)


def test_the_codec_of_another_wan_is_refused(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    config = copy / "vae" / "config.json"
    text = config.read_text(encoding="utf-8").replace('"scale_factor_spatial": 16', '"scale_factor_spatial": 8')
    config.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="48 channels at 1/8"):
        WanEncoders(copy)
