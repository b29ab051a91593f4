"""Measures clips: sync, words, voice, emotion, picture; of the bundled model on held-out toons, or of any folder."""
