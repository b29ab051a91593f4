"""Small Vocos folders with seeded weights, written as the package ``vocos`` publishes them."""

import torch
import yaml
from vocos.heads import ISTFTHead
from vocos.models import VocosBackbone, VocosResNetBackbone

BACKBONES = {
    "convnext": (VocosBackbone, {"input_channels": 80, "dim": 32, "intermediate_dim": 96, "num_layers": 3}),
    "resnet": (VocosResNetBackbone, {"input_channels": 80, "dim": 32, "num_blocks": 2}),
}
HEAD = {"dim": 32, "n_fft": 1024, "hop_length": 240, "padding": "same"}
EXTRACTOR = {"class_path": "studio.features.SlaneyMel", "init_args": {"n_mels": 80, "hop_length": 240}}


def built(kind="convnext"):
    """The package's own backbone and head, whose convolutions are heard, and whose sound is loud but not clipped."""
    backbone_class, arguments = BACKBONES[kind]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone, head = backbone_class(**arguments), ISTFTHead(**HEAD)
        for name, parameter in [*backbone.named_parameters(), *head.named_parameters()]:
            if name.endswith("weight_g"):
                torch.nn.init.constant_(parameter, 0.7)
            elif parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
            elif "gamma" not in name and "norm" not in name:
                torch.nn.init.normal_(parameter, std=0.1)
        backbone.eval().requires_grad_(False), head.eval().requires_grad_(False)
        head.out.weight.div_(backbone(mel_of(100)).std())
        head.out.bias[: HEAD["n_fft"] // 2 + 1].add_(1)  # of the magnitudes' logarithm
    return backbone, head


def mel_of(mel_frames, batch=1):
    """A log-mel as loud as speech, (B, 80, F)."""
    return torch.randn(batch, 80, mel_frames, generator=torch.Generator().manual_seed(mel_frames)) * 2 - 5


def weights_of(backbone, head):
    """A state dict in the package's names, with a tensor of a feature extractor as training leaves it."""
    parts = {"backbone": backbone, "head": head}
    tensors = {f"{part}.{name}": tensor for part, it in parts.items() for name, tensor in it.state_dict().items()}
    return {"feature_extractor.mel.window": torch.full((3,), float("nan")), **tensors}


def write_vocos(folder, kind="convnext"):
    """Write config.yaml and pytorch_model.bin, and return the folder."""
    backbone, head = built(kind)
    said = {"backbone": (type(backbone), BACKBONES[kind][1]), "head": (ISTFTHead, HEAD)}
    config = {
        part: {"class_path": f"{its.__module__}.{its.__name__}", "init_args": arguments}
        for part, (its, arguments) in said.items()
    }
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"feature_extractor": EXTRACTOR, **config}), encoding="utf-8")
    torch.save(weights_of(backbone, head), folder / "pytorch_model.bin")
    return folder


def configure(folder, part, **arguments):
    """Change init_args of a part in a folder's config.yaml; ``class_path`` changes the class."""
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config[part]["class_path"] = arguments.pop("class_path", config[part]["class_path"])
    config[part]["init_args"].update(arguments)
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
