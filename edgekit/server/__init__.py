"""A local page over the builds and device reports that lie below a folder: `edgekit serve`."""
