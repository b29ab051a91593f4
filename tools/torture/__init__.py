"""The verb ``torture``: hostile prompts and media, cancels, faults in mid-run and long service, on a real server."""

from .command import main

__all__ = ["main"]
