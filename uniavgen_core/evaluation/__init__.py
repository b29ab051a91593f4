"""Evaluation of clips: lip-sync, word errors, timbre, emotion and image quality."""
