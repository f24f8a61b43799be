"""What the worker runs for a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsvc.engine.worker.task import Outcome
from jobsvc.execution_sweep.domain import Swept

if TYPE_CHECKING:
    from jobsvc.engine.worker.task import RunningTask
    from jobsvc.execution_sweep.ports import Sweeper


class ExecutionSweepHandler:
    """Runs tasks of the kind EXECUTION_SWEEP: batch after batch, until nothing is left. It may be repeated."""

    def __init__(self, sweeper: Sweeper) -> None:
        """Takes what deletes."""
        self._sweeper = sweeper

    async def __call__(self, task: RunningTask) -> Outcome:
        """See `jobsvc.engine.worker.task.Handler`."""
        swept = Swept()
        while True:
            await task.progress(swept.executions, text=f"{swept.executions} executions deleted")
            batch = await self._sweeper.sweep()
            if batch == Swept():
                break
            swept += batch
        task.log.info(f"{swept.executions} executions with {swept.tasks} tasks are deleted.")
        task.log.info(f"{swept.log_pieces} pieces of old logs and {swept.workers} workers that are gone are deleted.")
        return Outcome(
            execution_extra_attributes={"deleted_executions": swept.executions, "deleted_tasks": swept.tasks},
        )
