"""The network and its files in ComfyUI's forms."""
