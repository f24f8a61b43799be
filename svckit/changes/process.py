"""The background work of a process that serves a change log."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from svckit.changes.metrics import LOOK_EVERY_SECONDS, ChangeMetrics
from svckit.process.settings import ProcessSettings

if TYPE_CHECKING:
    from svckit.change import K
    from svckit.changes.serving import ChangeServing
    from svckit.process.process import ServiceProcess

S = TypeVar("S", bound=ProcessSettings)

# The pause after the database has not answered.
_AGAIN_SECONDS = 1.0


def follow_changes(process: ServiceProcess[S], changes: ChangeServing[K]) -> None:
    """Has the process read new changes for its readers, and show the metrics of the log."""
    metrics = ChangeMetrics(process.metrics, changes.store, changes.feed, changes.now)
    process.loops.every(_AGAIN_SECONDS, "read_changes", changes.feed.run)
    process.loops.every(LOOK_EVERY_SECONDS, "look_at_changes", metrics.look)
