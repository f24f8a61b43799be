"""Hypercorn, the default: its HTTP/2, and our own connections."""
