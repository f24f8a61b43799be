"""The bytes: a content-addressed store and resumable uploads."""
