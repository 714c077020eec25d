"""Images: listed by sources/, divided into splits, decoded."""
