"""Structured pruning: which channels hang together, what they cost and matter, which to cut."""
