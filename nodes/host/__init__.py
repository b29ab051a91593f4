"""The adapter between UniAVGen and ComfyUI; only ``nodes`` imports both."""
