"""The history of metasvc's tables."""
