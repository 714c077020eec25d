"""Steps on several workers: what runs next and where, and those who do it."""
