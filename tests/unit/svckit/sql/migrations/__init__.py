"""The history of the tables that the tests use."""
