"""Training of the bundled model on talking toons."""
