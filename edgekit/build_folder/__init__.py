"""What a build leaves in build/<recipe>/<target>/: report/ writes it, many read it."""
