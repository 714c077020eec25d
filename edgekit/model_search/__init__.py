"""Many recipes that differ in a few fields: grids of them, and the search for the one to take."""
