"""Inference parts of the bundled model that the released model has others for: its video codec and caption features."""
