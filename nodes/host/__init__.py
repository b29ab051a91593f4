"""The adapter between UniAVGen and ComfyUI: the only place that knows both."""
