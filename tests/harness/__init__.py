"""Real servers that tests start, and the fixtures that hand them out."""
