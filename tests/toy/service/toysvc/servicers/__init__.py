"""RPCs."""
