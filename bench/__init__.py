"""Measurements of a real installation: `make bench`. Printed, and judged by nobody: machines are shared and noisy."""
