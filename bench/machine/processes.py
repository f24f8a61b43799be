"""CPU time and memory of processes, from /proc."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.harness.process import memory_bytes

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Stat:
    """What a line of /proc/PID/stat says.

    Attributes:
        parent: the process id of the parent.
        cpu_seconds: user and system time of the process, with that of the children for which it has waited. Those
            that run are not in it.
    """

    parent: int
    cpu_seconds: float

    @classmethod
    def parse(cls, line: str) -> "Stat":
        """Reads the line. See proc_pid_stat(5)."""
        # The name of the program comes second, in parentheses, and may have spaces and parentheses itself.
        words = line[line.rindex(")") + 1 :].split()
        return cls(parent=int(words[1]), cpu_seconds=sum(map(int, words[11:15])) / _TICKS_PER_SECOND)


def tree(root: int) -> list[int]:
    """A process and all its descendants that run."""
    parents = {pid: stat.parent for pid, stat in _all().items()}
    found = [root]
    for pid in found:  # it grows while it is read
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found


def cpu_seconds(processes: Mapping[int, str]) -> dict[str, float]:
    """The CPU time that processes have used so far, by name. Processes of one name are added."""
    used: dict[str, float] = {}
    for pid, name in processes.items():
        stat = _stat(pid)
        if stat is not None:
            used[name] = used.get(name, 0.0) + stat.cpu_seconds
    return used


def resident_bytes(processes: Mapping[int, str]) -> dict[str, int]:
    """The memory that processes occupy, by name. Pages that processes share are counted for each of them."""
    resident: dict[str, int] = {}
    for pid, name in processes.items():
        resident[name] = resident.get(name, 0) + memory_bytes(pid, "VmRSS")
    return resident


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What was used in between. A process that was started in between counts from zero."""
    return {name: max(0.0, value - before.get(name, 0.0)) for name, value in after.items()}


def _all() -> dict[int, Stat]:
    pids: Iterable[int] = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return {pid: stat for pid in pids if (stat := _stat(pid)) is not None}


def _stat(pid: int) -> Stat | None:
    try:
        return Stat.parse(Path(f"/proc/{pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None  # it has ended
