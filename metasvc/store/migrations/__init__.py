"""The history of metasvc's tables."""

HEAD = "0002"
