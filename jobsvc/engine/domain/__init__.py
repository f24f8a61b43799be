"""The rules of executions, tasks and schedules; they know neither gRPC nor SQL."""
