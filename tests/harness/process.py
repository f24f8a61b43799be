"""Processes that tests start, kill and measure."""

import os
import select
import signal
from collections.abc import Iterable, Mapping
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


def forget_peak(pid: int) -> None:
    """Resets VmHWM, the most memory that a process has occupied."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


class Processors:
    """How much of the processors of this machine other programs leave, from now on."""

    def __init__(self, pids: Iterable[int]) -> None:
        """Starts to measure.

        Args:
            pids: the processes that are no other programs.
        """
        self._pids = tuple(pids)
        self._all, self._others = self._used()

    def left(self) -> float:
        """The part that the processes have used or could have used: 1 on a machine that does nothing else."""
        everything, others = self._used()
        return 1 - (others - self._others) / (everything - self._all)

    def _used(self) -> tuple[int, int]:
        fields = [int(ticks) for ticks in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        # The fourth is idle, the fifth waits for a disk, and the last went to other guests of the same host.
        busy = sum(fields) - fields[3] - fields[4]
        return sum(fields), busy - sum(map(_used_ticks, self._pids))


def _used_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    # utime and stime of proc_pid_stat(5), of all threads.
    return int(fields[11]) + int(fields[12])
