"""How many cycles a core takes for the instructions that a model really executes on it."""
