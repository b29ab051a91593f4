"""Few-step students of the bundled model, compared with their teacher."""
