"""ComfyUI-UniAVGen: video and speech generated together, as ComfyUI nodes."""

from .nodes import comfy_entrypoint

__all__ = ["comfy_entrypoint"]
