"""The parts of compression.py: what is compared, who makes it, how it is measured and shown."""
