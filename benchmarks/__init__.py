"""Measurements of the network: ``python -m benchmarks NAME``."""
