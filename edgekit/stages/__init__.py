"""The stages of a recipe: one file a stage, found by its name in the YAML."""
