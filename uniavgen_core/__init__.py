"""UniAVGen itself: network, sampling, media, toons, training. Knows nothing of ComfyUI."""
