"""Every way to int8: ranges, corrections, the search, mixed precision, fake quantisation."""
