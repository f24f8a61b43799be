"""The history of authsvc's tables."""
