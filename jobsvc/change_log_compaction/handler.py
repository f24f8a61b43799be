"""What the worker runs for a compaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsvc.engine.worker.task import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsvc.change_log_compaction.ports import CompactedLog
    from jobsvc.engine.worker.task import RunningTask


class ChangeLogCompactionHandler:
    """Runs tasks of the kind CHANGE_LOG_COMPACTION: log after log. It may be repeated."""

    def __init__(self, logs: Sequence[CompactedLog]) -> None:
        """Takes the logs."""
        self._logs = logs

    async def __call__(self, task: RunningTask) -> Outcome:
        """See `jobsvc.engine.worker.task.Handler`."""
        deleted: dict[str, int] = {}
        for log in self._logs:
            deleted[log.service] = 0
            while True:
                total = sum(deleted.values())
                await task.progress(total, text=f"{log.service}: deleted changes: {deleted[log.service]}")
                done = await log.compact()
                deleted[log.service] += done.deleted
                if not done.has_more:
                    break
            task.log.info(
                f"Change log of {log.service}: deleted changes: {deleted[log.service]}; "
                f"all up to revision {done.compacted_to} are deleted."
            )
        return Outcome(
            message=f"Deleted changes: {sum(deleted.values())}.",
            execution_extra_attributes={"deleted_changes": deleted},
        )
