"""Tiny umT5 encoders in files, as users have them: a sentencepiece model, weights in two sets of names."""

import io
from pathlib import Path

import sentencepiece
import torch
from safetensors.torch import save_file
from transformers import UMT5Config, UMT5EncoderModel

RELEASED = "models_t5_umt5-xxl-enc-bf16.pth"
COMFYUI = "umt5_xxl_fp16.safetensors"
SPARE_ROWS = 4
"""Rows of the embedding beyond the pieces; umT5-xxl has some too."""
LINES = (
    "A woman with red hair is smiling and talking to the camera in a bright room.",
    "Two people (a man and a boy) argue loudly; the man's hands move quickly, and she says: don't!",
    'The speaker says "hello there" & nods > twice < while 100 % of the crowd listens.',
    "embedding: a photo of a cafe, naive, resume, [slow motion] {close-up} weight:1.2 \\ backslash / slash",
    "ein Mann spricht über Äpfel, une femme parle à café, él señor habla mañana",
    "一位女士微笑着对镜头说话。 日本語を話す男性です。",
)


def sentencepiece_model():
    """Bytes of a small unigram model that numbers pads, ends and unknowns as umT5's does, and knows single bytes.

    It changes nothing before it splits a text, so that its ids tell every difference between two captions.
    """
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES * 4), model_writer=written, model_type="unigram", vocab_size=420, pad_id=0,
        eos_id=1, unk_id=2, bos_id=-1, byte_fallback=True, character_coverage=1.0, hard_vocab_limit=False,
        normalization_rule_name="identity", remove_extra_whitespaces=False, minloglevel=2, num_threads=1,
    )  # fmt: skip
    return written.getvalue()


def encoder(rows):
    """transformers' umT5 with seeded weights, two layers of width 24."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = UMT5Config(
            vocab_size=rows, d_model=24, d_kv=8, d_ff=40, num_layers=2, num_heads=3, feed_forward_proj="gated-gelu"
        )
        network = UMT5EncoderModel(config).eval().requires_grad_(False)
        for parameter in network.parameters():
            parameter.copy_(
                torch.randn(parameter.shape) * (0.15 if parameter.ndim > 1 else 0.1) + (parameter.ndim == 1)
            )
        network.shared.weight.mul_(6)
    return network


def transformers_names(network):
    """The weights in the names of transformers and ComfyUI."""
    stored = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    stored.pop("encoder.embed_tokens.weight", None)
    return stored


def wans_names(network):
    """The weights in the names of Wan's own file, written out by hand."""
    stored = {"token_embedding.weight": network.shared.weight, "norm.weight": network.encoder.final_layer_norm.weight}
    for number, block in enumerate(network.encoder.block):
        attention, forward = block.layer[0].SelfAttention, block.layer[1].DenseReluDense
        stored |= {
            f"blocks.{number}.attn.{name}.weight": getattr(attention, name).weight for name in ("q", "k", "v", "o")
        }
        stored |= {
            f"blocks.{number}.norm1.weight": block.layer[0].layer_norm.weight,
            f"blocks.{number}.norm2.weight": block.layer[1].layer_norm.weight,
            f"blocks.{number}.pos_embedding.embedding.weight": attention.relative_attention_bias.weight,
            f"blocks.{number}.ffn.gate.0.weight": forward.wi_0.weight,
            f"blocks.{number}.ffn.fc1.weight": forward.wi_1.weight,
            f"blocks.{number}.ffn.fc2.weight": forward.wo.weight,
        }
    return {name: tensor.clone() for name, tensor in stored.items()}


def write_released(folder, network, model=None):
    """The release's encoder, with its tokenizer's folder beside it where ``model`` is given."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(wans_names(network), folder / RELEASED)
    if model is not None:
        (folder / "google" / "umt5-xxl").mkdir(parents=True)
        (folder / "google" / "umt5-xxl" / "spiece.model").write_bytes(model)
    return folder / RELEASED


def write_comfyui(path, network, model):
    """An encoder in ComfyUI's form, with its tokenizer inside."""
    stored = transformers_names(network)
    if model is not None:
        stored["spiece_model"] = torch.frombuffer(bytearray(model), dtype=torch.uint8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    save_file(stored, path)
    return path
