"""The flow: schedule, guidance, sampler."""
