"""Real servers that tests start, and the fixtures for them."""
