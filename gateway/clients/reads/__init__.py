"""Reads of manifests and blobs, which gather: many requests share one RPC."""
