"""The sweep of old executions."""
