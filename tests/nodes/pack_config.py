"""Configs for the pack, which ComfyUI loads under a name of its own, so that its classes are not those of the tests."""

from uniavgen_core.config import to_dict


def config_of_pack(pack, config):
    """The same config, made of the pack's own classes."""
    own = pack.uniavgen_core.config
    return own.from_dict(getattr(own, type(config).__name__), to_dict(config))
