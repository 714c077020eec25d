"""What became of builds and runs on devices, over time: `edgekit history`."""
