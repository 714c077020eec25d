"""How people begin: from photos or a model's file to a recipe, and what a machine can build."""
