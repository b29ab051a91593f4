"""Pytest plugin for ComfyUI's own unit tests: loads ComfyUI before them, and with ``--with-pack`` the pack too."""

import pytest

from tools.pack import comfyui_arguments, load_pack


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--with-pack", action="store_true", help="load the pack as ComfyUI does when it starts")


def pytest_configure(config: pytest.Config) -> None:
    """Load ComfyUI and the pack before anything is collected."""
    comfyui_arguments("torture").cpu = True
    import comfy.sd  # noqa: F401 - so that both runs have imported it
    import comfy_api.latest  # noqa: F401

    if config.getoption("--with-pack"):
        load_pack()
