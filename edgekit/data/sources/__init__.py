"""Where images come from: one file a source, found by its name in the YAML."""
