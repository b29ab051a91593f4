"""Sound: log-mel spectrograms, resampling, vocoders, reference voices, loudness."""
