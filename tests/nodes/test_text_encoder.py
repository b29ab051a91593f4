"""Captions on their way through 'UniAVGen Load Text Encoder': files people have, hard captions, what is refused."""

import sys

import folder_paths
import pytest
import sentencepiece
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import Unigram

from tests.nodes.captions import CAPTIONS, FOR_THE_BUNDLED, LONG, NEEDS_FTFY
from tests.nodes.encoders import (
    COMFYUI,
    RELEASED,
    SPARE_ROWS,
    encoder,
    sentencepiece_model,
    transformers_names,
    wans_names,
    write_comfyui,
    write_released,
)
from tests.nodes.studio import notices_of
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL, BUNDLED_VIDEO_CODEC
from uniavgen_core.bundled.hashed_captions import hashed_features
from uniavgen_core.text.caption_cleaning import clean_caption


@pytest.fixture(scope="module")
def spiece():
    return sentencepiece_model()


@pytest.fixture(scope="module")
def processor(spiece):
    """sentencepiece itself."""
    return sentencepiece.SentencePieceProcessor(model_proto=spiece)


@pytest.fixture(scope="module")
def network(processor):
    """transformers' umT5 of a tiny size."""
    return encoder(processor.get_piece_size() + SPARE_ROWS)


@pytest.fixture
def models(tmp_path, monkeypatch):
    """ComfyUI's folders for models, empty."""
    known = dict(folder_paths.folder_names_and_paths)
    for kind in ("text_encoders", "diffusion_models", "vae"):
        (tmp_path / kind).mkdir()
        known[kind] = ([str(tmp_path / kind)], folder_paths.supported_pt_extensions)
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", known)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return tmp_path


@pytest.fixture
def load(pack):
    """What the node gives for a name from its list, after a look that the list has it."""

    def through_the_node(name):
        node = pack.nodes.loaders.LoadTextEncoder
        assert name in node.define_schema().inputs[0].options
        return node.execute(name)

    return through_the_node


@pytest.fixture
def clip(load, models, network, spiece):
    write_comfyui(models / "text_encoders" / COMFYUI, network, spiece)
    return load(COMFYUI).args[0]


@pytest.fixture
def announced(pack, monkeypatch):
    """What was announced, in a process that has said nothing yet."""
    said = []
    text = pack.nodes.host.conditioning.bundled_text_encoder
    monkeypatch.setattr(text, "announce", said.append)
    text.announce_missing_ftfy.cache_clear()
    yield said
    text.announce_missing_ftfy.cache_clear()


def ids_of(processor, text):
    """umT5's numbers of a text: at most 512, the last one the end, and pads."""
    ids = [*processor.encode(text)[:511], 1]
    return ids + [0] * (512 - len(ids))


def tokens_of(clip, caption):
    (batch,) = clip.tokenize(caption)["umt5xxl"]
    return batch


@pytest.mark.parametrize("caption", CAPTIONS)
def test_a_caption_becomes_the_numbers_that_the_release_has_and_no_weights(clip, processor, caption):
    tokens = tokens_of(clip, caption)
    assert [number for number, _ in tokens] == ids_of(processor, CAPTIONS[caption])
    assert {weight for _, weight in tokens} == {1.0}


def test_the_captions_would_show_every_step_of_the_cleaning_left_out(processor):
    """Else equal numbers would prove little."""
    differing = sum(ids_of(processor, raw) != ids_of(processor, CAPTIONS[raw]) for raw in CAPTIONS)
    assert differing >= 18


def test_captions_longer_than_512_tokens_keep_their_end(clip, processor):
    assert len(processor.encode(LONG.strip())) > 512
    numbers = [number for number, _ in tokens_of(clip, LONG)]
    assert (len(numbers), numbers[-1], numbers.count(1)) == (512, 1, 1)


def test_a_clone_of_the_clip_reads_captions_alike_and_words_keep_their_numbers(clip):
    caption = "(smiling) &amp; “talking”"
    assert clip.clone().tokenize(caption) == clip.tokenize(caption)
    (batch,) = clip.tokenize(caption, return_word_ids=True)["umt5xxl"]
    length = [number for number, *_ in batch].index(1)
    assert {word for *_, word in batch[:length]} == {1}
    assert {word for *_, word in batch[length:]} == {0}


def test_the_bundled_encoder_cleans_captions_by_the_same_rules(pack):
    clip = pack.nodes.loaders.LoadTextEncoder.execute(pack.nodes.host.model.model_choices.BUNDLED).args[0]
    with torch.inference_mode():
        ((features, _),) = clip.encode_from_tokens_scheduled(clip.tokenize(FOR_THE_BUNDLED))
    assert torch.equal(features[0], hashed_features("A <happy> toon, café (nods)"))


@pytest.mark.parametrize("caption", NEEDS_FTFY)
def test_without_ftfy_the_rest_is_cleaned_and_the_first_caption_that_needs_it_says_so(
    clip, announced, monkeypatch, caption
):
    monkeypatch.setitem(sys.modules, "ftfy", None)
    plain = "  Tom &amp;amp; (Ann)\n talk "
    assert tokens_of(clip, plain) == tokens_of(clip, "Tom & (Ann) talk")
    assert announced == []
    for _ in range(2):
        tokens_of(clip, caption)
    (notice,) = announced
    assert "pip install ftfy" in notice


def test_with_ftfy_nothing_is_said_of_it(clip, announced):
    for caption in NEEDS_FTFY:
        tokens_of(clip, caption)
    assert announced == []


def expected_features(network, processor, caption):
    """transformers' features of a caption without pads, then zeros."""
    ids = torch.tensor([[*processor.encode(caption)[:511], 1]])
    features = network(ids).last_hidden_state
    return torch.cat((features, torch.zeros(1, 512 - ids.shape[1], features.shape[2])), dim=1)


def features_of(clip, caption):
    with torch.inference_mode():
        ((features, _),) = clip.encode_from_tokens_scheduled(clip.tokenize(caption))
    return features


@pytest.mark.parametrize("names", [transformers_names, wans_names])
def test_features_are_those_of_transformers_whatever_the_names_in_the_file(
    load, models, network, processor, spiece, names
):
    stored = names(network) | {"spiece_model": torch.frombuffer(bytearray(spiece), dtype=torch.uint8)}
    save_file(stored, models / "text_encoders" / "umt5.safetensors")
    clip = load("umt5.safetensors").args[0]
    for caption in ("A woman (smiling) talks.", "", LONG):
        want = expected_features(network, processor, clean_caption(caption))
        assert want.std() > 0.02
        torch.testing.assert_close(features_of(clip, caption), want, rtol=0, atol=1e-5)


def test_the_releases_file_reads_captions_by_the_tokenizer_beside_it(load, models, network, processor, spiece):
    write_released(models / "text_encoders" / "UniAVGen", network, spiece)
    result = load(f"UniAVGen/{RELEASED}")
    assert notices_of(result) == ""
    caption = "A woman (smiling) talks."
    want = expected_features(network, processor, caption)
    torch.testing.assert_close(features_of(result.args[0], caption), want, rtol=0, atol=1e-5)


def test_a_tokenizer_json_gives_the_same_numbers(load, models, network, processor):
    path = write_released(models / "text_encoders", network).parent / "google" / "umt5-xxl" / "tokenizer.json"
    path.parent.mkdir(parents=True)
    pieces = [(processor.id_to_piece(number), processor.get_score(number)) for number in range(len(processor))]
    tokenizer = Tokenizer(Unigram(pieces, unk_id=2, byte_fallback=True))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(split=False), decoders.Metaspace()
    tokenizer.save(str(path))
    clip = load(RELEASED).args[0]
    for caption in ("A woman is smiling.", "Tom &amp; Ann (talk)", ""):
        assert [number for number, _ in tokens_of(clip, caption)] == ids_of(
            processor, CAPTIONS.get(caption, clean_caption(caption))
        )


@pytest.mark.parametrize("place", ["among the text encoders", "in the release's folder", "inside ComfyUI's file"])
def test_a_tokenizer_is_found_where_users_have_one(load, models, network, spiece, processor, place):
    write_released(models / "text_encoders", network)
    if place == "inside ComfyUI's file":
        write_comfyui(models / "text_encoders" / "deep" / COMFYUI, network, spiece)
    else:
        root = "text_encoders" if "text" in place else "diffusion_models/UniAVGen"
        (models / root / "google" / "umt5-xxl").mkdir(parents=True)
        (models / root / "google" / "umt5-xxl" / "spiece.model").write_bytes(spiece)
    tokens = tokens_of(load(RELEASED).args[0], "A woman")
    assert [number for number, _ in tokens] == ids_of(processor, "A woman")


def test_without_a_tokenizer_it_says_which_file_to_put_where(load, models, network):
    folder = models / "text_encoders"
    write_released(folder, network)
    (folder / "other").mkdir()
    (folder / "other" / "tokenizer.json").write_text("{}")
    write_comfyui(folder / "another.safetensors", network, None)
    with pytest.raises(ValueError, match="holds no tokenizer") as raised:
        load(RELEASED)
    for part in (str(folder / "google" / "umt5-xxl"), "spiece.model", "umt5_xxl_fp8_e4m3fn_scaled.safetensors"):
        assert part in str(raised.value)
    assert f"{folder / 'other' / 'tokenizer.json'} was found, but is damaged" in str(raised.value)


def test_another_models_tokenizer_is_not_taken(load, models, spiece):
    write_released(models / "text_encoders", encoder(2000), spiece)
    with pytest.raises(ValueError, match=r"spiece\.model was found, but belongs to another model"):
        load(RELEASED)


def clip_l():
    return {f"text_model.encoder.layers.{number}.mlp.fc1.weight": torch.zeros(4, 4) for number in range(12)}


def t5(network):
    stored = transformers_names(network)
    del stored["encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight"]
    return stored


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (lambda _: clip_l(), "is not a umT5 text encoder: it has no tensor named shared.weight"),
        (lambda _: {"strange": torch.zeros(2)}, "1 tensors, such as strange"),
        (t5, "is T5, not umT5"),
        (lambda _: {"decoder.conv1.weight": torch.zeros(2), "latent_std": torch.ones(48)}, "is not a umT5"),
    ],
)
def test_what_is_no_umt5_is_refused_by_name_with_what_to_load(load, models, network, stored, said):
    save_file(stored(network), models / "text_encoders" / "chosen.safetensors")
    with pytest.raises(ValueError, match=f"chosen.safetensors.*{said}") as raised:
        load("chosen.safetensors")
    for part in (RELEASED, "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "UniAVGen Load Text Encoder"):
        assert part in str(raised.value)


def test_a_missing_weight_is_named_and_an_extra_one_is_a_notice(load, models, network, spiece):
    path = write_comfyui(models / "text_encoders" / COMFYUI, network, spiece)
    stored = load_file(path)
    save_file(stored | {"decoder.extra.weight": torch.zeros(2)}, path)
    assert "ignored: decoder.extra.weight" in notices_of(load(COMFYUI))
    del stored["encoder.block.1.layer.0.SelfAttention.k.weight"]
    save_file(stored, path)
    with pytest.raises(ValueError, match=rf"{COMFYUI} is incomplete.*1 missing: encoder\.block\.1.*k\.weight"):
        load(COMFYUI)


def test_weights_in_half_precision_and_scaled_fp8_load(load, models, network, spiece, processor):
    caption = "A woman (smiling) talks."
    want = expected_features(network, processor, caption)
    stored = wans_names(network) | {"scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}
    for name in [name for name in stored if ".attn." in name or ".ffn." in name]:
        scale = stored[name].abs().amax() / 448
        stored[name] = (stored[name] / scale).to(torch.float8_e4m3fn)
        stored[name.replace(".weight", ".scale_weight")] = scale
    stored["spiece_model"] = torch.frombuffer(bytearray(spiece), dtype=torch.uint8)
    save_file(stored, models / "text_encoders" / "fp8.safetensors")
    half = {name: tensor.bfloat16() for name, tensor in wans_names(network).items()}
    torch.save(half, models / "text_encoders" / "half.pth")
    for name in ("fp8.safetensors", "half.pth"):
        found = features_of(load(name).args[0], caption)
        assert (found - want).norm() / want.norm() < 0.1


def test_loading_again_from_what_the_patcher_keeps_gives_the_same_weights(clip):
    function, arguments = clip.patcher.cached_patcher_init
    again = function(*arguments, disable_dynamic=True).model.state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in clip.patcher.model.state_dict().items())


class Intruder:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (__import__("os").mkdir, (str(self.path),))


@pytest.mark.parametrize("kind", ["text_encoders", "vae", "diffusion_models"])
def test_a_file_that_would_run_code_is_refused_in_words_and_runs_nothing(pack, models, kind):
    node = {
        "text_encoders": pack.nodes.loaders.LoadTextEncoder,
        "vae": pack.nodes.loaders.LoadVideoVAE,
        "diffusion_models": pack.nodes.loaders.LoadModel,
    }[kind]
    made = models / "made"
    torch.save({"blocks.0.attn.q.weight": Intruder(made)}, models / kind / "evil.pth")
    with pytest.raises(ValueError, match=r"evil\.pth asks to run code when it is read.*was not run") as raised:
        node.execute("evil.pth")
    assert "weights_only" not in str(raised.value)
    assert not made.exists()


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1", None])
def test_a_pickle_cut_short_is_named_with_its_size(load, models, network, spiece, content):
    path = write_released(models / "text_encoders", network, spiece)
    path.write_bytes(path.read_bytes()[:-1_000] if content is None else content)
    with pytest.raises(ValueError, match=rf"{RELEASED} is truncated.*{path.stat().st_size} bytes"):
        load(RELEASED)


def test_all_four_loaders_find_their_part_in_the_release_as_downloaded(pack, load, models, network, spiece, studio):
    folder = models / "diffusion_models" / "UniAVGen"
    write_released(folder, network, spiece)
    torch.save(load_file(BUNDLED_VIDEO_CODEC), folder / "Wan2.2_VAE.pth")
    weights = load_file(BUNDLED_MODEL)
    with safe_open(BUNDLED_MODEL, "pt") as file:
        save_file(weights, folder / "diffusion_pytorch_model.safetensors", file.metadata())
    (folder / "code2wav_bigvgan_model").mkdir()
    save_file({"a": torch.zeros(1)}, folder / "code2wav_bigvgan_model" / "model.safetensors")
    offered = {
        kind: getattr(pack.nodes.loaders, kind).define_schema().inputs[0].options
        for kind in ("LoadModel", "LoadTextEncoder", "LoadVideoVAE", "LoadAudioVAE")
    }
    assert "UniAVGen/ (folder)" in offered["LoadModel"]
    assert f"UniAVGen/{RELEASED}" in offered["LoadTextEncoder"]
    assert "UniAVGen/Wan2.2_VAE.pth" in offered["LoadVideoVAE"]
    assert "UniAVGen/code2wav_bigvgan_model" in offered["LoadAudioVAE"]
    model = pack.nodes.loaders.LoadModel.execute("UniAVGen/ (folder)").args[0]
    assert torch.equal(model.model.diffusion_model.state_dict()["head.head.weight"], weights["head.head.weight"])
    assert len(tokens_of(load(f"UniAVGen/{RELEASED}").args[0], "A woman")) == 512
    codec = pack.nodes.loaders.LoadVideoVAE.execute("UniAVGen/Wan2.2_VAE.pth").args[0]
    with torch.inference_mode():
        assert torch.equal(codec.encode(studio.image()), studio.video_vae.encode(studio.image()))
