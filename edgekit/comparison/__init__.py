"""Hold artifacts, builds or runs on devices against each other: `edgekit compare`."""
