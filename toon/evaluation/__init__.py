"""Evaluation of the bundled model on held-out toons."""
