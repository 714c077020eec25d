"""A build system that knows no model: artifacts, their store, actions, steps, observers."""
