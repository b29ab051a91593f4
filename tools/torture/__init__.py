"""The verb ``torture``: hostile prompts, cancels at random moments and long service, on a real server with the pack."""

from .command import main

__all__ = ["main"]
