"""The registry: everything under /v2."""
