"""Writes ``tests/nodes/names.json``, on which saved graphs and API prompts depend: ``python -m tools.node_names``.

These are ids of nodes, names and types of sockets and widgets, and values of options. A change of any is a change for
every user, so it has to touch that file. It needs the environment that ``dev.py`` makes, with ``COMFYUI_PATH`` set.
"""

from collections.abc import Iterable
from typing import Any

from .environment import ROOT
from .locale_files import write
from .pack import comfyui_arguments, load_pack

NAMES = ROOT / "tests" / "nodes" / "names.json"
FROM_FOLDERS = {
    "model_name", "text_encoder", "video_vae", "vocoder", "recognizer", "portrait", "clip", "sampler_name",
    "latent_file",
}  # fmt: skip
"""Choices whose options are files, or ComfyUI's own."""


def node_names(schema: Any) -> dict[str, Any]:
    """Names of a node's inputs and outputs."""
    outputs = [f"{output.display_name or ''}: {output.get_io_type()}" for output in schema.outputs]
    return {"inputs": _inputs(schema.inputs), "outputs": outputs}


def _inputs(inputs: Iterable[Any]) -> dict[str, Any]:
    return {one.id: _values(one) for one in inputs}


def _values(one: Any) -> Any:
    """Type of an input, or its options, and what each of them brings along."""
    options = getattr(one, "options", None)
    if not options or one.id in FROM_FOLDERS:
        return one.get_io_type()
    if all(isinstance(option, str) for option in options):
        return list(options)
    return {option.key: _inputs(option.inputs) for option in options}


def main() -> None:
    """Write the file."""
    comfyui_arguments("check").cpu = True
    schemas = [node.GET_SCHEMA() for node in load_pack().nodes.NODES]
    write(NAMES, {schema.node_id: node_names(schema) for schema in schemas})


if __name__ == "__main__":
    main()
