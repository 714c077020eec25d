"""What can be asked of a device at most. The command line reads it before any library is loaded."""

MOST_THREADS = 64
MOST_SUSTAINED = 5 * 3600
"""Seconds: a lock on a device is stale after six hours."""
MOST_WAITING = 7 * 24 * 3600
"""Seconds between a canary and the others; no lock is held meanwhile."""
