"""A worker that measures as briefly as the tests' own process does."""

from edgekit.evaluation import measure
from edgekit.scheduling.worker import main

if __name__ == "__main__":
    measure.PROTOCOL.update(warmup_seconds=0.05, seconds=0.2, rounds=40)
    measure.PROCESSES = 1
    main()
