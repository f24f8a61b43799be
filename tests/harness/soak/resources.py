"""Measures the resources of processes, to find leaks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.harness.installation import Installation
from tests.harness.process import memory_bytes


@dataclass(frozen=True, slots=True)
class Holding:
    """What one process holds."""

    pid: int
    descriptors: int
    resident_bytes: int


def holdings(installation: Installation) -> Mapping[str, Holding]:
    """What the services and their supervisor hold now."""
    pids = {"supervisor": installation.supervisor_pid, **installation.pids()}
    return {name: Holding(pid, _descriptors(pid), memory_bytes(pid, "VmRSS")) for name, pid in pids.items()}


def growth(
    before: Mapping[str, Holding], after: Mapping[str, Holding], *, descriptors: int, resident_bytes: int
) -> Iterator[str]:
    """The resources of the same processes that have grown beyond these bounds."""
    for name, was in before.items():
        now = after[name]
        if now.pid != was.pid:
            yield f"{name} ended by itself"
        elif now.descriptors - was.descriptors > descriptors:
            yield f"{name} holds {now.descriptors} descriptors, and held {was.descriptors}"
        elif now.resident_bytes - was.resident_bytes > resident_bytes:
            yield f"{name} occupies {now.resident_bytes >> 20} MiB, and occupied {was.resident_bytes >> 20}"


def _descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
