"""Distillation: students of a trained network that sample in a few passes, without guidance."""
