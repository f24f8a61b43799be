"""The purge of abandoned uploads."""
