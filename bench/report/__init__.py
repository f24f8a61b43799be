"""The report: tables for people, and JSON."""
