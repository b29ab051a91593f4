"""Checkpoints of the umT5 encoder: tensor names of Wan, transformers and ComfyUI, and the sizes.

Source: ``models_t5_umt5-xxl-enc-bf16.pth`` of Wan and of the release; ``UMT5EncoderModel`` of transformers. Unlike T5,
umT5 has its own position bias in every layer.
"""

import re
from collections.abc import Iterator, Mapping

from .checked_files import CheckpointError, shown
from .config_from_weights import Shapes, count_layers
from .load_weights import OLD_QUANTISATION_MARK, check_quantised
from .shard_sets import Named
from .weight_fit import Fit

RELEASED_FILE = "models_t5_umt5-xxl-enc-bf16.pth"
COMFYUI_FILE = "umt5_xxl_fp8_e4m3fn_scaled.safetensors"
CHOOSE = (
    f"UniAVGen reads captions with umT5-xxl: choose the release's {RELEASED_FILE}, or ComfyUI's {COMFYUI_FILE} or "
    "umt5_xxl_fp16.safetensors, from models/text_encoders, in 'UniAVGen Load Text Encoder'."
)
OUTER_NAMES = {"token_embedding": "shared", "norm": "encoder.final_layer_norm"}
"""Wan's names outside the layers, to those of transformers."""
LAYER_NAMES = {
    "attn.q": "layer.0.SelfAttention.q",
    "attn.k": "layer.0.SelfAttention.k",
    "attn.v": "layer.0.SelfAttention.v",
    "attn.o": "layer.0.SelfAttention.o",
    "pos_embedding.embedding": "layer.0.SelfAttention.relative_attention_bias",
    "norm1": "layer.0.layer_norm",
    "ffn.gate.0": "layer.1.DenseReluDense.wi_0",
    "ffn.fc1": "layer.1.DenseReluDense.wi_1",
    "ffn.fc2": "layer.1.DenseReluDense.wo",
    "norm2": "layer.1.layer_norm",
}
"""Wan's names within a layer, to those of transformers."""
WAN_LAYER = re.compile(r"blocks\.(\d+)\.(.+)")
SPIECE = "spiece_model"
"""Tensor of bytes with the tokenizer in ComfyUI's file."""
EXTRA_TENSORS = (SPIECE, OLD_QUANTISATION_MARK, "encoder.embed_tokens.weight", "logit_scale")
"""Additional tensors in some files: the tokenizer, marks, and duplicates that tools store."""


def encoder_names(named: Mapping[str, Named]) -> dict[str, Named]:
    """Rename tensors from Wan's names to those of transformers and ComfyUI; other names are kept."""
    is_wan = "token_embedding.weight" in named and "blocks.0.attn.q.weight" in named
    return {_renamed(name): value for name, value in named.items()} if is_wan else dict(named)


def sizes_of(shapes: Shapes, file: str) -> dict[str, int]:
    """Sizes of an encoder.

    Args:
        shapes: Tensor name to shape, in transformers' names.
        file: The file's name, for the message.

    Raises:
        CheckpointError: If the tensors do not belong to an umT5 encoder.
    """
    bias = "encoder.block.{}.layer.0.SelfAttention.relative_attention_bias.weight"
    first, layers = "encoder.block.0.layer.", count_layers(shapes, "encoder.block.")
    query, gate = f"{first}0.SelfAttention.q.weight", f"{first}1.DenseReluDense.wi_0.weight"
    needed = ("shared.weight", query, gate, bias.format(0))
    absent = [name for name in needed if name not in shapes]
    if absent:
        like = ", ".join(map(shown, sorted(shapes)[:2])) or "none"
        raise CheckpointError(
            f"{file} is not a umT5 text encoder: it has no tensor named {absent[0]} ({len(shapes)} tensors, such as "
            f"{like}). {CHOOSE}"
        )
    if layers > 1 and not any(bias.format(layer) in shapes for layer in range(1, layers)):
        raise CheckpointError(f"{file} is T5, not umT5: only its first layer has a position bias. {CHOOSE}")
    odd = [name for name in needed if len(shapes[name]) != 2 or 0 in shapes[name]]
    if odd:
        raise CheckpointError(f"{file}: {odd[0]} has the shape {shown(tuple(shapes[odd[0]]))}. {CHOOSE}")
    heads = shapes[bias.format(0)][1]
    return {
        "vocab_size": shapes["shared.weight"][0],
        "d_model": shapes["shared.weight"][1],
        "d_kv": shapes[query][0] // heads,
        "d_ff": shapes[gate][0],
        "num_layers": layers,
        "num_heads": heads,
    }


def check_encoder(shapes: Shapes, sizes: Mapping[str, int], file: str) -> Fit:
    """Compare a file's tensors, plain or quantised in ComfyUI's format, with those of an encoder.

    Raises:
        CheckpointError: If tensors are missing or have the wrong shape; the message names them and the file.
    """
    kept = {name: shape for name, shape in shapes.items() if name not in EXTRA_TENSORS}
    try:
        return check_quantised(kept, encoder_shapes(kept, sizes))
    except CheckpointError as error:
        raise CheckpointError(f"{file} is incomplete. {error} Fetch it again.") from error


def encoder_shapes(shapes: Shapes, sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Tensor name to shape of an encoder of these sizes, with as many position buckets as a file's tensors have."""
    buckets = next(shape[0] for name, shape in shapes.items() if name.endswith("relative_attention_bias.weight"))
    return dict(_expected(sizes, buckets))


def _expected(sizes: Mapping[str, int], buckets: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of an encoder's tensors."""
    dim, heads, wide = sizes["d_model"], sizes["num_heads"], sizes["d_ff"]
    inner = sizes["d_kv"] * heads
    layer = {
        "attn.q": (inner, dim), "attn.k": (inner, dim), "attn.v": (inner, dim), "attn.o": (dim, inner),
        "pos_embedding.embedding": (buckets, heads), "norm1": (dim,), "norm2": (dim,),
        "ffn.gate.0": (wide, dim), "ffn.fc1": (wide, dim), "ffn.fc2": (dim, wide),
    }  # fmt: skip
    yield "shared.weight", (sizes["vocab_size"], dim)
    for number in range(sizes["num_layers"]):
        for wans, shape in layer.items():
            yield f"encoder.block.{number}.{LAYER_NAMES[wans]}.weight", shape
    yield "encoder.final_layer_norm.weight", (dim,)


def _renamed(name: str) -> str:
    module, dot, leaf = name.rpartition(".")
    found = WAN_LAYER.fullmatch(module)
    if found and found[2] in LAYER_NAMES:
        return f"encoder.block.{found[1]}.{LAYER_NAMES[found[2]]}{dot}{leaf}"
    return f"{OUTER_NAMES.get(module, module)}{dot}{leaf}"
