"""The flow: schedule, guidance, sampler, step cache."""
