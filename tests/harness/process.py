"""Processes that tests start, kill and measure."""

import os
import select
import signal
from collections.abc import Mapping
from pathlib import Path

END_SECONDS = 60.0


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child process: ours, without settings that were meant for another installation.

    Args:
        variables: its settings, and other variables.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ROADSTEAD_")}
    return {**inherited, **(variables or {})}


def kill_and_wait(pid: int, number: signal.Signals) -> None:
    """Sends a signal that ends a process, and returns when it has ended."""
    descriptor = os.pidfd_open(pid)
    try:
        os.kill(pid, number)
        ended, _, _ = select.select([descriptor], [], [], END_SECONDS)
    finally:
        os.close(descriptor)
    if not ended:
        raise AssertionError(f"process {pid} does not end")


def memory_bytes(pid: int, name: str) -> int:
    """A size in /proc/PID/status: VmRSS is the memory that the process uses, VmHWM its peak."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no {name}")
