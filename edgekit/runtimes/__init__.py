"""The runtimes a target can name: one file a runtime, found by its name in the YAML."""
