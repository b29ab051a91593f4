"""Makes ``locales/en`` and lists what translations lack: ``python -m tools.make_locales [LANGUAGE ...]``.

Languages that are named have been translated anew: their texts are recorded as translations of today's English.
It needs the environment that ``dev.py`` makes, with ``COMFYUI_PATH`` set.
"""

import sys
from importlib import import_module

from .locale_files import ENGLISH, LANGUAGES, LOCALES, accept, english_files, faults, write
from .pack import NAME, comfyui_arguments, load_pack
from .template_texts import template_texts


def main(translated: list[str]) -> int:
    """Write the English files; returns 1 if a translation is missing or stale."""
    comfyui_arguments("check").cpu = True
    schemas = [node.GET_SCHEMA() for node in load_pack().nodes.NODES]
    english = english_files(schemas, import_module(f"{NAME}.nodes.labels").OPTION_LABELS, template_texts())
    for name, texts in english.items():
        write(LOCALES / ENGLISH / name, texts)
    for language in translated:
        accept(language, english)
    found = [fault for language in LANGUAGES for fault in faults(language, english)]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
