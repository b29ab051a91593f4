"""Training on talking toons."""
