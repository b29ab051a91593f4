"""Command line for checkpoint files: merge shards, extract a branch, inspect, verify and quantise."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .checked_files import CheckpointError
from .comfy_layers import LAYER_FORMATS
from .config_from_weights import Contents
from .describe import inspect, verify
from .merge_and_cut import cut, merge
from .quantization_error import velocity_error
from .quantize_weights import KEPT, MIXES, QuantizeConfig, quantize

WORST_SHOWN = 5
NOTE = "PATH is a safetensors file, the folder with the release's shards, or one of the shards."


class Progress:
    """Progress in per cent on stderr: in place on a terminal, every 10 % elsewhere."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._step = 1 if self._is_terminal else 10
        self._last = -1

    def __call__(self, done: int, total: int) -> None:
        """Print the progress if it changed."""
        percent = 100 * done // max(total, 1) // self._step * self._step
        if percent != self._last:
            self._last = percent
            start, end = ("\r", "\n" if percent == 100 else "") if self._is_terminal else ("", "\n")
            sys.stderr.write(f"{start}{percent:3} %{end}")
            sys.stderr.flush()


def parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    root = argparse.ArgumentParser(prog="python -m uniavgen_core.checkpoint", description=__doc__, epilog=NOTE)
    commands = root.add_subparsers(dest="command", required=True)
    made = {}
    for name, text in {
        "merge": "join shards into one file",
        "inspect": "list sizes, parameters and dtypes",
        "verify": "hash the files and check names, shapes and numbers",
        "cut": "write one branch of a joint checkpoint to its own file",
        "quantize": "write ComfyUI's scaled fp8, or GGUF, and measure the error",
    }.items():
        made[name] = commands.add_parser(name, help=text, description=f"{text.capitalize()}.", epilog=NOTE)
        made[name].add_argument("source", type=Path, metavar="PATH", help="checkpoint to read")
        made[name].add_argument("--json", action="store_true", help="print one JSON object as the last line")
    for name in ("merge", "cut", "quantize"):
        made[name].add_argument(
            "target", type=Path, metavar="TARGET", help="file to write: .safetensors, for GGUF .gguf"
        )
        made[name].add_argument("--replace", action="store_true", help="overwrite TARGET if it exists")
    made["verify"].add_argument("--hashes", type=Path, help="text file to compare with, lines of: sha256 name")
    made["cut"].add_argument(
        "--branch",
        choices=[Contents.VIDEO.value, Contents.AUDIO.value],
        required=True,
        help="branch to write; the video branch gets Wan's names, so that ComfyUI's own loader reads it too",
    )
    _add_choices(made["quantize"])
    return root


def _add_choices(quantizer: argparse.ArgumentParser) -> None:
    quantizer.add_argument(
        "--format", choices=[*LAYER_FORMATS, *MIXES], default="float8_e4m3fn", help="a format of ComfyUI or of GGUF"
    )
    quantizer.add_argument(
        "--keep", action="append", default=[], metavar="PATTERN", help="also keep these layers, such as 'blocks.0.*'"
    )
    quantizer.add_argument(
        "--keep-only", action="append", metavar="PATTERN", help=f"keep these instead of {' '.join(KEPT)}"
    )
    quantizer.add_argument(
        "--full-precision-matmul", action="store_true", help="run matmuls in full precision even on cards with fp8"
    )
    quantizer.add_argument(
        "--measure",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compare one seeded pass of both files, on the CPU",
    )


def main(arguments: list[str]) -> int:
    """Run a command, and return the exit status: 1 for a checkpoint with problems, 2 for one that cannot be read."""
    options = parser().parse_args(arguments)
    try:
        report = COMMANDS[options.command](options)
    except (ImportError, ValueError, OSError) as error:  # Their messages are sentences for the user.
        sys.stderr.write(f"{error}\n")
        report = {"error": str(error)}
    else:
        sys.stdout.write(table(report) + "\n")
    if options.json:
        sys.stdout.write(json.dumps(report) + "\n")
    return 2 if "error" in report else int(bool(report.get("problems")))


def table(report: dict[str, Any]) -> str:
    """Format a report as text; only the layers with the largest errors are listed."""
    lines = []
    for name, value in report.items():
        if name == "layers":
            worst = sorted(value.items(), key=lambda item: -item[1])[:WORST_SHOWN]
            mean = sum(value.values()) / len(value)
            lines.append(f"{'layers':18}{len(value)}, relative error of the weights {mean:.4f} on average; worst:")
            lines += [f"  {layer:40}{error:.4f}" for layer, error in worst]
        elif isinstance(value, dict):
            lines += [name, *(f"  {key:40}{_shown(item)}" for key, item in value.items())]
        elif isinstance(value, list):
            lines += [f"{name:18}{len(value) or 'none'}", *(f"  {_shown(item)}" for item in value)]
        else:
            lines.append(f"{name:18}{_shown(value)}")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{key}={item}" if "=" not in str(item) else str(item) for key, item in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _quantize(options: argparse.Namespace) -> dict[str, Any]:
    keep = tuple(options.keep_only if options.keep_only is not None else KEPT) + tuple(options.keep)
    config = QuantizeConfig(options.format, keep, options.full_precision_matmul, options.replace)
    report = quantize(options.source, options.target, config, Progress())
    if options.measure:
        report["velocity_error"] = velocity_error(options.source, options.target)
    return report


def _hashes(path: Path | None) -> dict[str, str]:
    """File name to sha256, from a file in the format of ``sha256sum``."""
    if path is None:
        return {}
    lines = [line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if any(len(line) != 2 for line in lines):
        raise CheckpointError(f"{path} must hold lines of a sha256 and a file name.")
    return {Path(name.strip().lstrip("*")).name: digest for digest, name in lines}


COMMANDS = {
    "merge": lambda options: merge(options.source, options.target, options.replace, Progress()),
    "cut": lambda options: cut(options.source, options.target, Contents(options.branch), options.replace, Progress()),
    "inspect": lambda options: inspect(options.source),
    "verify": lambda options: verify(options.source, _hashes(options.hashes), Progress()),
    "quantize": _quantize,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
