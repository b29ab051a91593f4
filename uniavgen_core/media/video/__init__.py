"""Video: sizes, colours and frame rates."""
