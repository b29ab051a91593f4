"""Audio: log-mel spectrograms, resampling, vocoders, reference voices, loudness."""
