"""What a build tells: JSON first; Markdown and HTML are rendered from that JSON alone."""
