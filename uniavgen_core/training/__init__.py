"""Training: the paper's three stages on encoded clips, LoRAs, checkpoints and export."""
