"""A task that a worker has got."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from svckit.actor import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A task that this worker has got. The attributes are those of `RunningTask`.

    Attributes:
        lease_seconds: how long the lease lasts after a report.
    """

    task_id: int
    run: int
    execution_id: int
    kind: str
    vendor_id: int
    parameters: Mapping[str, object]
    failures: int
    operator: Actor
    lease_seconds: float
