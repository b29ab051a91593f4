"""Pictures and frames: sizes, colours and frame rates."""
