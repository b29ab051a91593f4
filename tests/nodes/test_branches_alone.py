"""One branch of the bundled model as a MODEL: it samples what the joint model does without interaction, and no more."""

from dataclasses import replace

import comfy.model_prefetch
import comfy.sample
import comfy.samplers
import pytest
import torch
from comfy.context_windows import IndexListContextWindow
from safetensors.torch import save_file

from tests.nodes.pack_config import config_of_pack
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL
from uniavgen_core.checkpoint.config_from_weights import Contents, Network
from uniavgen_core.checkpoint.load_weights import expected_shapes
from uniavgen_core.checkpoint.merge_and_cut import cut
from uniavgen_core.config import RELEASED, GuidanceConfig, Interaction

BRANCHES = (Contents.VIDEO, Contents.AUDIO)
PART = {Contents.VIDEO: 0, Contents.AUDIO: 1}
GUIDED = GuidanceConfig(video_scale=2.0, audio_scale=3.0, modality_aware_share=0.5, skip_layer=1)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of the bundled model's branches."""
    folder = tmp_path_factory.mktemp("branches")
    paths = {branch: folder / f"{branch.value}.safetensors" for branch in BRANCHES}
    for branch, path in paths.items():
        cut(BUNDLED_MODEL, path, branch)
    return paths


@pytest.fixture
def alone(studio, files):
    """The MODEL of a branch."""
    return lambda branch: studio.nodes.host.model.load_model.load_uniavgen(str(files[branch]))


@pytest.fixture
def spoken(studio):
    """Conditionings and LATENT of a portrait that speaks, the interaction off."""
    positive, negative, latent, _ = studio.task("reference_voice", "hello", **voiced(studio)).args
    off = studio.nodes.host.conditioning.pass_settings.set_pass
    return off(positive, interaction=Interaction.OFF), off(negative, interaction=Interaction.OFF), latent


def voiced(studio, voice=True):
    _, audio, text = studio.example()
    return {"image": studio.image(), "seconds": 1.0625} | ({"voice": audio, "voice_transcript": text} if voice else {})


def run(studio, model, positive, negative, latent, config=GUIDED, sigmas=(1.0, 0.8, 0.4, 0.0)):
    """Video and audio that a MODEL samples under our guidance."""
    guider = studio.nodes.host.sampling.guided_sampling.make_guider(
        model, positive, negative, config_of_pack(studio.pack, config)
    )
    sampler = comfy.samplers.sampler_object("euler")
    with torch.inference_mode():
        sampled = studio.nodes.host.sampling.run_sampler.run_sampler(guider, sampler, torch.tensor(sigmas), latent, 3)
    return sampled["samples"].unbind()


def without_voice(studio, conditioning):
    key = studio.nodes.host.conditioning.pass_settings.REFERENCE_VOICE_KEY
    return [
        [features, {name: value for name, value in options.items() if name != key}]
        for features, options in conditioning
    ]


@pytest.mark.parametrize("branch", BRANCHES)
def test_under_our_guidance_a_branch_samples_what_the_joint_model_samples_without_interaction(
    studio, alone, spoken, branch
):
    positive, negative, latent = spoken
    if branch is Contents.VIDEO:
        positive, negative = (without_voice(studio, one) for one in (positive, negative))
    got = run(studio, alone(branch), positive, negative, latent)[PART[branch]]
    want = run(studio, studio.model, positive, negative, latent)[PART[branch]]
    assert want.std() > 0.1
    assert (got - want).abs().max() < 1e-5
    on = studio.nodes.host.conditioning.pass_settings.set_pass(positive, interaction=Interaction.BOTH)
    assert (run(studio, studio.model, on, negative, latent)[PART[branch]] - want).abs().max() > 1e-3


def test_what_a_branch_does_not_make_is_a_silent_sound_or_the_still_that_is_given(studio, alone):
    positive, negative, latent, _ = studio.task("joint", **voiced(studio, voice=False)).args
    given = latent["samples"].unbind()[0]
    _, audio = run(studio, alone(Contents.VIDEO), positive, negative, latent)
    torch.testing.assert_close(
        audio, studio.nodes.host.conditioning.speaker_tracks.silence(1).expand_as(audio), rtol=0, atol=1e-5
    )
    assert studio.audio_vae.decode(audio).abs().max() < 1e-3
    video, audio = run(studio, alone(Contents.AUDIO), positive, negative, latent)
    torch.testing.assert_close(video, given[:, :, :1].expand_as(video), rtol=0, atol=1e-5)
    assert audio.std() > 0.5


def test_without_a_picture_the_audio_branch_leaves_an_empty_one(studio, alone):
    positive, negative = studio.texts()
    latent = studio.nodes.empty_latent.EmptyLatent.execute(64, 64, 1.0625, 2).args[0]
    video, audio = run(studio, alone(Contents.AUDIO), positive, negative, latent)
    assert video.abs().max() < 1e-5
    assert audio.shape[0] == 2
    assert (audio[0] - audio[1]).std() > 0.1


def test_kept_sound_comes_back_from_the_video_branch_and_kept_pictures_from_the_audio_branch(studio, alone):
    _, sound, _ = studio.example()
    output = studio.task("audio_driven", audio=sound, image=studio.image(), length="match_audio", seconds=1.0)
    positive, negative, latent, _ = output.args
    got = run(studio, alone(Contents.VIDEO), positive, negative, latent, sigmas=(1.0, 0.0))[1]
    assert torch.equal(got, latent["samples"].unbind()[1])
    positive, negative, latent, _ = studio.task(
        "dubbing", video=studio.nodes.toon_examples.ToonClip.execute("toon_7").args[0]
    ).args
    got = run(studio, alone(Contents.AUDIO), positive, negative, latent, sigmas=(1.0, 0.0))[0]
    assert torch.equal(got, latent["samples"].unbind()[0])


def test_each_latent_that_is_not_kept_shows_the_last_kept_one_before_it(studio):
    video = torch.arange(1.0, 7.0).view(1, 1, 6, 1, 1).repeat(2, 3, 1, 2, 2)
    kept = torch.tensor([[0, 1, 0, 0, 1, 0], [1, 0, 0, 0, 0, 0]]).bool()
    still = studio.nodes.host.model.branch_models.last_kept(video, kept)
    assert still[:, 0, :, 0, 0].tolist() == [[0, 2, 2, 2, 5, 5], [1, 1, 1, 1, 1, 1]]
    assert torch.equal(still[:, :, :, :1, :1].expand_as(still), still)


def test_a_joint_latents_picture_is_that_of_a_plain_latent_from_the_same_noise(studio, alone):
    """Plain latents are raw, as ComfyUI's own are; joint ones are normalised."""
    positive, negative, latent, _ = studio.task("joint", **voiced(studio, voice=False)).args
    model = alone(Contents.VIDEO)
    video_format = model.model.latent_format
    video, mask = latent["samples"].unbind()[0], latent["noise_mask"].unbind()[0]
    config = GuidanceConfig(video_scale=2.0, audio_scale=1.0, modality_aware_share=0.0, skip_layer=None)
    want = run(studio, model, positive, negative, latent, config)[0]
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(2.0)
    raw = video_format.process_out(video) * (mask == 0)
    with torch.inference_mode():
        got = guider.sample(
            comfy.sample.prepare_noise(raw, 3),
            raw,
            comfy.samplers.sampler_object("euler"),
            torch.tensor([1.0, 0.8, 0.4, 0.0]),
            denoise_mask=mask,
            disable_pbar=True,
            seed=3,
        )
    torch.testing.assert_close(video_format.process_in(got), want, rtol=0, atol=1e-4)
    assert want[:, :, 1:].std() > 0.1


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_branch_uses_the_weights_of_one_layer_at_a_time(studio, alone, branch, monkeypatch):
    queued = []
    monkeypatch.setattr(comfy.model_prefetch, "make_prefetch_queue", lambda layers, *_: queued.extend(layers))
    network = alone(branch).model.diffusion_model
    settings = studio.nodes.host.conditioning.pass_settings.PassSettings().as_null(Interaction.BOTH, 2)
    size = (1, 48, 2, 2, 2) if branch is Contents.VIDEO else (1, 1, 4, 80)
    caption = torch.zeros(1, 4, network.config.text.caption_dim)
    with torch.inference_mode():
        network(torch.zeros(size), torch.ones(1, size[2]), caption, uniavgen=settings)
    blocks = network.blocks if branch is Contents.VIDEO else network.audio_blocks
    assert queued == [block for number, block in enumerate(blocks) if number != 2]


def test_a_sound_alone_leaves_a_card_to_the_weights(studio, alone):
    clip = [1, 1, 48 * 21 * 46 * 80 + 506 * 80]
    sound, both = (model.model.memory_required(clip) / 2**30 for model in (alone(Contents.AUDIO), studio.model))
    assert both > 5
    assert sound < 1


def test_a_window_over_a_long_clip_takes_its_part_of_the_still(alone):
    model = alone(Contents.AUDIO).model
    latent_image, mask = torch.zeros(1, 1, 48 * 6), torch.ones(1, 1, 48 * 6)
    shapes = [(1, 48, 6, 1, 1), (1, 1, 0, 80)]
    mask[..., 0::6] = 0
    latent_image[..., 0::6] = 7.0
    conds = model.extra_conds(
        cross_attn=torch.zeros(1, 1, 1), latent_shapes=shapes, denoise_mask=mask, latent_image=latent_image
    )
    conds["still"].cond[:, :, 3] = 9.0
    window = IndexListContextWindow([2, 3, 4], dim=2, total_frames=6)
    cut_out = model.resize_cond_for_context_window("still", conds["still"], window, None, None)
    assert cut_out.cond[0, 0, :, 0, 0].tolist() == [7.0, 9.0, 7.0]


def two_speakers(studio):
    """Conditionings and LATENT of two tracks."""
    positive, negative, latent, _ = studio.task("joint", **voiced(studio, voice=False)).args
    host = studio.nodes.host
    speakers = [
        host.conditioning.speaker_tracks.Speaker(host.conditioning.pass_settings.Speech(text, start=start))
        for text, start in (("hello", 0.0), ("moon", 0.5))
    ]
    return host.conditioning.speaker_tracks.set_speakers(
        positive, negative, latent, speakers, host.conditioning.pass_settings.Steering()
    )


def test_face_masks_are_refused_by_the_video_branch_in_words(studio, alone):
    message = "A face mask.*has no effect here: this MODEL is the video branch alone.*joint model"
    with pytest.raises(ValueError, match=message):
        run(studio, alone(Contents.VIDEO), *two_speakers(studio))


def test_the_audio_branch_has_a_track_for_each_speaker(studio, alone):
    positive, negative, latent = two_speakers(studio)
    off = studio.nodes.host.conditioning.pass_settings.set_pass
    positive, negative = (off(one, interaction=Interaction.OFF) for one in (positive, negative))
    got = run(studio, alone(Contents.AUDIO), positive, negative, latent)[1]
    want = run(studio, studio.model, positive, negative, latent)[1]
    assert got.shape[1] == 2
    assert (got - want).abs().max() < 1e-5
    assert (got[:, 0] - got[:, 1]).std() > 0.1


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_branch_has_no_face_mask_to_show(studio, alone, branch):
    positive, _, latent, _ = studio.task("joint", **voiced(studio, voice=False)).args
    with pytest.raises(ValueError, match=f"the {branch.value} branch alone.*'UniAVGen Show Face Mask' needs"):
        studio.nodes.face_overlay.ShowFaceMask.execute(alone(branch), positive, latent, 0.3, 0)


def test_a_reference_voice_is_refused_by_the_video_branch_in_words(studio, alone):
    positive, negative, latent, _ = studio.task("reference_voice", **voiced(studio)).args
    with pytest.raises(
        ValueError, match=r"A reference voice.*has no effect here: this MODEL is the video branch alone"
    ):
        run(studio, alone(Contents.VIDEO), positive, negative, latent)


def test_a_transcript_too_long_for_the_clip_matters_only_where_it_is_spoken(studio, alone):
    positive, negative, latent, _ = studio.task("joint", "one two " * 20, **voiced(studio, voice=False)).args
    run(studio, alone(Contents.VIDEO), positive, negative, latent, sigmas=(1.0, 0.0))
    with pytest.raises(ValueError, match="160 characters"):
        run(studio, alone(Contents.AUDIO), positive, negative, latent)


def test_latents_that_a_branch_cannot_make_are_refused_in_words(studio, alone):
    positive, _ = studio.texts()
    wrong = {
        Contents.VIDEO: torch.zeros(1, 16, 3, 4, 4),
        Contents.AUDIO: torch.zeros(1, 48, 3, 4, 4),
    }
    for branch, latent in wrong.items():
        with pytest.raises(ValueError, match=r"not a UniAVGen latent.*UniAVGen Empty Latent"):
            comfy.sample.sample(
                alone(branch), latent, 1, 1.0, "euler", "simple", positive, positive, latent, disable_pbar=True, seed=0
            )


def test_a_wan_model_of_other_channels_is_refused_by_name(studio, tmp_path):
    path = tmp_path / "wan2.1_small.safetensors"
    video = replace(RELEASED.video, dim=128, ffn_dim=128, num_heads=1)
    config = replace(RELEASED, video=video, num_layers=1, latent_channels=16)
    shapes = expected_shapes(Network(Contents.VIDEO, config))
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, path)
    with pytest.raises(ValueError, match=r"wan2\.1_small\.safetensors.*16 channels.*Wan2\.2-TI2V-5B, with 48"):
        studio.nodes.host.model.load_model.load_uniavgen(str(path))
