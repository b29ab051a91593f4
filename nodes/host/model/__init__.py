"""The network as a ComfyUI MODEL, and loading of its files."""
