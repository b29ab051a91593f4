"""The commands of ``python -m uniavgen_core.training``: each has a ``SUMMARY`` and a ``main``."""
