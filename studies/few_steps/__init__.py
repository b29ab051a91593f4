"""Quality and cost of the bundled model at few sampling steps."""
