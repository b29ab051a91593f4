"""Vocos folders with seeded weights, against the package's own layers, and what is refused."""

import pickle
import socket
import sys

import pytest
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import save_file
from vocos.feature_extractors import MelSpectrogramFeatures
from vocos.models import VocosBackbone
from vocos.pretrained import Vocos as Package

from tests.vocos_folders import BACKBONES, built, configure, mel_of, weights_of, write_vocos
from uniavgen_core.checkpoint.bigvgan_files import VocoderError
from uniavgen_core.checkpoint.vocos_files import MEL, load_vocos
from uniavgen_core.media.audio import mel
from uniavgen_core.media.audio.vocos import Vocos, receptive_radius


@pytest.fixture(params=list(BACKBONES))
def kind(request):
    return request.param


@pytest.fixture
def folder(tmp_path):
    return write_vocos(tmp_path / "mine")


def one_pass(kind, log_mel):
    backbone, head = built(kind)
    return head(backbone(log_mel))


@pytest.mark.parametrize("mel_frames", [1, 2, 106])
def test_it_sounds_as_the_package_does(kind, tmp_path, mel_frames):
    log_mel = mel_of(mel_frames, batch=2)
    sound = Vocos(load_vocos(write_vocos(tmp_path / kind, kind))).decode(log_mel)
    wanted = Package(MelSpectrogramFeatures(), *built(kind)).decode(log_mel)
    assert wanted.std() > 0.05
    assert sound.shape == (2, 240 * mel_frames)
    assert (sound - wanted).abs().max() < 1e-6


@pytest.mark.parametrize("chunk_frames", [1, 37, 90])
def test_chunks_sound_as_one_pass_does(kind, tmp_path, chunk_frames):
    vocoder, log_mel = Vocos(load_vocos(write_vocos(tmp_path / kind, kind))), mel_of(300)
    vocoder.chunk_frames = chunk_frames
    assert (vocoder.decode(log_mel) - one_pass(kind, log_mel)).abs().max() < 1e-4


@pytest.mark.parametrize(("missing", "heard"), [(14, 0.5), (3, 1e-4)])
def test_too_small_a_margin_would_be_heard(folder, missing, heard):
    vocoder, log_mel = Vocos(load_vocos(folder)), mel_of(300)
    vocoder.chunk_frames = 37
    vocoder.margin -= missing
    assert (vocoder.decode(log_mel) - one_pass("convnext", log_mel)).abs().max() > heard


@pytest.mark.parametrize("n_fft", [480, 1024, 1280])
def test_a_sample_hears_the_frames_of_the_margin_and_no_other(kind, tmp_path, n_fft):
    folder = write_vocos(tmp_path / kind, kind)
    network = load_vocos(folder)
    network.head = type(network.head)(32, n_fft, 240)
    network = network.double().requires_grad_(False)
    margin = receptive_radius(network)
    heard, middle = set(), margin + 5
    for offset in (0, 119, 239):
        log_mel = mel_of(2 * middle + 1).double().requires_grad_()
        (slope,) = torch.autograd.grad(network(log_mel)[0, middle * 240 + offset], log_mel)
        heard |= {int(frame) - middle for frame in slope[0].abs().sum(0).nonzero()}
    assert (min(heard), max(heard)) == (-margin, margin)


def test_the_published_size_hears_29_frames():
    network = torch.nn.Module()
    network.backbone = VocosBackbone(80, 512, 1536, 8)
    network.head = built()[1]
    assert receptive_radius(network) == 29


def test_its_frames_lie_where_the_mels_do(folder):
    sound = torch.randn(1, 12_000, generator=torch.Generator().manual_seed(0)) / 4
    padded = F.pad(sound[:, None], (mel.EDGE_PADDING,) * 2, mode="reflect")[:, 0]
    window = torch.hann_window(mel.FFT_LENGTH)
    spectrum = torch.stft(padded, mel.FFT_LENGTH, 240, window=window, center=False, return_complex=True)
    torch.testing.assert_close(spectrum.abs(), mel.magnitudes(sound), rtol=0, atol=1e-4)
    found = load_vocos(folder).head.istft(spectrum)
    torch.testing.assert_close(found, sound, rtol=0, atol=1e-5)


def test_loud_samples_are_not_cut_off(folder):
    network = load_vocos(folder)
    network.head.out.bias[:513] += 3
    sound = Vocos(network).decode(mel_of(20))
    assert sound.abs().max() > 1.5
    torch.testing.assert_close(sound, network(mel_of(20)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(80, 20), (1, 64, 20), (1, 20, 80), (1, 80, 0), (0, 80, 20)])
def test_what_is_not_a_mel_is_refused(folder, shape):
    with pytest.raises(ValueError, match="cannot be decoded"):
        Vocos(load_vocos(folder)).decode(torch.zeros(shape))


def test_values_that_are_not_finite_are_refused(folder):
    with pytest.raises(ValueError, match="finite"):
        Vocos(load_vocos(folder)).decode(torch.full((1, 80, 20), float("nan")))


def test_safetensors_come_before_a_bin(folder):
    weights = {name: tensor.clone() for name, tensor in weights_of(*built()).items()}
    save_file(weights, folder / "model.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"nothing")
    assert (Vocos(load_vocos(folder)).decode(mel_of(20)) - one_pass("convnext", mel_of(20))).abs().max() < 1e-6


def test_weights_in_half_precision_are_used_in_float32_with_an_exact_window(folder):
    halves = {name: tensor.bfloat16() for name, tensor in weights_of(*built()).items()}
    torch.save(halves, folder / "pytorch_model.bin")
    network = load_vocos(folder)
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}
    assert torch.equal(network.head.istft.window, torch.hann_window(1024))
    assert torch.equal(network.head.out.weight, halves["head.out.weight"].float())


def test_what_is_loaded_is_ready_to_vocode(kind, tmp_path):
    network = load_vocos(write_vocos(tmp_path / kind, kind))
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not network(mel_of(4)).requires_grad


def test_loading_draws_no_global_random_numbers_and_opens_no_connection(folder, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    state = torch.get_rng_state()
    load_vocos(folder)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_mel_it_is_held_to_is_ours():
    ours = {"sample_rate": 24_000, "n_fft": mel.FFT_LENGTH, "hop_length": 240, "n_mels": 80}
    ours |= {"f_min": mel.LOWEST_HZ, "f_max": mel.HIGHEST_HZ}
    assert ours == {name: MEL[name] for name in ours}


def test_a_mel_said_in_full_is_accepted(folder):
    configure(folder, "feature_extractor", **MEL)
    assert load_vocos(folder)
    configure(folder, "feature_extractor", class_path="vocos.feature_extractors.MelSpectrogramFeatures")
    assert load_vocos(folder)


def changed(part, **arguments):
    return lambda folder: configure(folder, part, **arguments)


def written(text):
    return lambda folder: (folder / "config.yaml").write_text(text, encoding="utf-8")


def saved(**changes):
    """Write other weights; None takes a tensor away."""

    def damage(folder):
        weights = {**weights_of(*built()), **{name.replace("__", "."): value for name, value in changes.items()}}
        torch.save({name: value for name, value in weights.items() if value is not None}, folder / "pytorch_model.bin")

    return damage


def cut_short(folder):
    path = folder / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:-1_000])


def pointer(folder):
    (folder / "pytorch_model.bin").write_text("version https://git-lfs.github.com/spec/v1")


def safetensors_cut_short(folder):
    save_file({"head.out.bias": torch.zeros(1_026)}, folder / "model.safetensors")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1_000])


PUBLIC = {"sample_rate": 24_000, "n_fft": 1024, "hop_length": 256, "n_mels": 100, "padding": "center"}
STOCK = {"class_path": "vocos.feature_extractors.MelSpectrogramFeatures", "sample_rate": 24_000, "padding": "same"}


def public(folder):
    """What charactr/vocos-mel-24khz says of itself."""
    configure(folder, "feature_extractor", class_path=STOCK["class_path"], **PUBLIC)
    configure(folder, "backbone", input_channels=100)
    configure(folder, "head", hop_length=256, padding="center")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "config.yaml").unlink(), "has no config.yaml"),
        (lambda folder: (folder / "pytorch_model.bin").unlink(), "has no model.safetensors and no pytorch_model.bin"),
        (written("backbone: [1, 2"), "config.yaml is not YAML of plain values"),
        (written("version https://git-lfs"), "names None as its backbone; a Vocos has vocos.models.VocosBackbone or"),
        (written("- 1"), "names None as its backbone"),
        (written("backbone: {class_path: [vocos.models.VocosBackbone]}"), "as its backbone"),
        (changed("backbone", class_path="vocos.models.Backbone"), "names 'vocos.models.Backbone' as its backbone"),
        (
            changed("head", class_path="vocos.heads.IMDCTCosHead"),
            "as its head; a Vocos has vocos.heads.ISTFTHead",
        ),
        (changed("backbone", dim="wide"), "config.yaml describes no vocoder that can be built"),
        (changed("head", colour="red"), "config.yaml describes no vocoder that can be built.*colour"),
        (changed("head", padding="reflect"), "has padding 'reflect' in its head.*is padding 'same'"),
        (public, "makes 256 samples of a mel frame of 100 bins; UniAVGen's mel has 80 bins and 240 samples a frame"),
        (changed("backbone", input_channels=100), "240 samples of a mel frame of 100 bins"),
        (changed("head", hop_length=256), "256 samples of a mel frame of 80 bins"),
        (changed("head", padding="center"), "has padding 'center' in its head.*is padding 'same'"),
        (changed("head", n_fft=1023), "has n_fft 1023; it must be even"),
        (changed("head", n_fft=240), "has n_fft 240; it must be even and above 240"),
        (changed("backbone", adanorm_num_embeddings=4), "wants a bandwidth"),
        (changed("feature_extractor", mel_scale="htk"), "another mel.*SlaneyMel has mel_scale 'htk', not 'slaney'"),
        (changed("feature_extractor", **STOCK), "another mel.*has f_max 12000, not 8000; mel_scale 'htk'.*norm None"),
        (changed("backbone", dim=48), "is damaged.*backbone.embed.weight is"),
        (cut_short, "is damaged. pytorch_model.bin is truncated, or is not a PyTorch file"),
        (pointer, "is damaged. pytorch_model.bin is truncated, or is not a PyTorch file"),
        (safetensors_cut_short, "is damaged.*model.safetensors"),
        (saved(state_dict={}), "pytorch_model.bin holds something other than tensors"),
        (lambda folder: torch.save(torch.zeros(3), folder / "pytorch_model.bin"), "something other than tensors"),
        (saved(head__out__bias=None), "is damaged.*1 missing: head.out.bias"),
        (saved(head__out__bias=torch.full((1_026,), torch.inf)), "head.out.bias holds values that are not finite"),
    ],
)
def test_a_damaged_folder_says_what_is_wrong(folder, damage, said):
    damage(folder)
    with pytest.raises(VocoderError, match=said) as raised:
        load_vocos(folder)
    assert str(folder) in str(raised.value)


def test_weights_of_other_networks_are_told_and_left_out_and_the_window_is_computed(folder):
    mel = torch.zeros(1, 80, 12)
    want, notices = load_vocos(folder)(mel), []
    saved(discriminator__bias=torch.zeros(1), head__istft__window=None)(folder)
    assert torch.equal(load_vocos(folder, notices.append)(mel), want)
    (notice,) = notices
    assert "ignored: discriminator.bias." in notice


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(VocoderError, match=r"There is no vocoder folder .*gone\."):
        load_vocos(tmp_path / "gone")


def test_a_config_imports_and_runs_nothing(folder, tmp_path, monkeypatch):
    (tmp_path / "intruder.py").write_text("class Backbone:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    configure(folder, "backbone", class_path="intruder.Backbone")
    configure(folder, "feature_extractor", class_path="intruder.Backbone")
    with pytest.raises(VocoderError, match=r"names 'intruder\.Backbone' as its backbone"):
        load_vocos(folder)
    made = tmp_path / "made"
    (folder / "config.yaml").write_text(f"backbone: !!python/object/apply:os.mkdir ['{made}']\n")
    with pytest.raises(VocoderError, match="is not YAML of plain values"):
        load_vocos(folder)
    assert "intruder" not in sys.modules
    assert not made.exists()


class Intruder:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (__import__("os").mkdir, (str(self.path),))


def test_weights_run_nothing(folder, tmp_path):
    made = tmp_path / "made"
    torch.save({"head.out.bias": Intruder(made)}, folder / "pytorch_model.bin")
    with pytest.raises(VocoderError, match=r"pytorch_model\.bin asks to run code.*It was not run"):
        load_vocos(folder)
    assert not made.exists()
    pickle.loads(pickle.dumps(Intruder(made)))  # what was refused does make it
    assert made.is_dir()


def test_without_the_package_it_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "vocos", None)
    with pytest.raises(ImportError, match="in ComfyUI's Python: pip install vocos"):
        load_vocos(folder)


def test_arguments_may_be_left_to_the_package(folder):
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    del config["head"]["init_args"]["padding"], config["feature_extractor"]
    path.write_text(yaml.safe_dump(config))
    assert (Vocos(load_vocos(folder)).decode(mel_of(20)) - one_pass("convnext", mel_of(20))).abs().max() < 1e-6
