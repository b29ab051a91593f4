"""Captions, speech texts, references and face masks in ComfyUI's conditioning."""
