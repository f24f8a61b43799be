"""What workers say of their running tasks, and what they are told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobsvc.engine.domain.model import Progress


class Verdict(Enum):
    """What a worker does with a run after its report."""

    GO_ON = "go on"
    STOP = "stop"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How far a run is.

    Attributes:
        task_id: the task.
        run: the run.
        progress: None if nothing is new.
        check_in: None if nothing is new.
    """

    task_id: int
    run: int
    progress: Progress | None = None
    check_in: str | None = None
