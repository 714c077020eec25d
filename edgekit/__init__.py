"""edgekit: from a chosen image classifier to a measured int8 model on an edge device."""

__version__ = "0.1.0"
