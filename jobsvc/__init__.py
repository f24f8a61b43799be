"""What takes long or comes later: executions, tasks, schedules and workers."""
