"""The engine of jobs: executions, tasks, schedules, dispatch, and the workers' protocol. It knows no kind of job."""
