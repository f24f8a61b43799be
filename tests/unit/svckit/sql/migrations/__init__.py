"""The history of the tables that the tests use."""

HEAD = "0002"
