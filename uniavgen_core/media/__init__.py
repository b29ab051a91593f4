"""Signals and pictures, tensors in and out."""
