"""The machine: programs, and CPU time and memory of processes."""
