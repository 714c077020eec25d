"""Measure a model on a device, and judge whether the run is a result."""
