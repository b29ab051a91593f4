"""The adapter between UniAVGen and ComfyUI; no other folder but ``nodes`` imports both."""
