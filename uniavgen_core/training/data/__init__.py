"""Clips to train on: read from folders, shards or seeds, encoded once, and drawn as examples."""
