"""Latency without a measurement of the model: a roofline, or probes of the device."""
