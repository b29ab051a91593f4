"""Sequence parallelism: one pass of the joint network, shared by several devices."""
