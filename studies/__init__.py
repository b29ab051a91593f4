"""Experiments on small models: the paper's ablations, and sampling with few steps."""
