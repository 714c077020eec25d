"""Float models: where they come from, how they are built and kept."""
