"""What a person writes: recipes and targets, and whether the two fit."""
