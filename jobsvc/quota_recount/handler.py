"""What the worker runs for a recount."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsvc.engine.worker.task import FinalFailure, Outcome
from jobsvc.quota_recount.domain import Recount
from svckit.errors import NotFound

if TYPE_CHECKING:
    from jobsvc.engine.worker.task import RunningTask, TaskLog
    from jobsvc.quota_recount.domain import ProjectUsage, Step
    from jobsvc.quota_recount.ports import Recounter


class QuotaRecountHandler:
    """Runs tasks of the kind QUOTA_RECOUNT: step after step. A repeat finds corrected what an earlier run corrected."""

    def __init__(self, recounter: Recounter) -> None:
        """Takes what counts."""
        self._recounter = recounter

    async def __call__(self, task: RunningTask) -> Outcome:
        """See `jobsvc.engine.worker.task.Handler`."""
        project_id = task.parameters.get("project_id", 0)
        project_id = project_id if isinstance(project_id, int) else 0
        recount = Recount(dry_run=task.parameters.get("dry_run") is True)
        task.log.info(
            f"Recount of {f'project {project_id}' if project_id else 'all projects'}"
            f"{', dry run: nothing is corrected' if recount.dry_run else ''}."
        )
        page_token = ""
        while True:
            await task.checkpoint()
            try:
                step = await self._recounter.step(project_id=project_id, dry_run=recount.dry_run, page_token=page_token)
            except NotFound as error:
                raise FinalFailure(f"there is no project {project_id} with a quota") from error
            usage = recount.add(step)
            _report(task.log, recount, step, usage)
            total = recount.projects + step.remaining_projects - step.is_project_done
            await task.progress(recount.projects, total, step.project_name)
            page_token = step.next_page_token
            if not page_token:
                break
        corrected = "To correct" if recount.dry_run else "Corrected"
        message = (
            f"Counted projects: {recount.projects}, digests: {recount.digests}. "
            f"{corrected}: usages: {recount.wrong_projects}, digests: {recount.differences}."
        )
        task.log.info(message)
        return Outcome(
            message=message,
            execution_extra_attributes={
                "dry_run": recount.dry_run,
                "counted_projects": recount.projects,
                "counted_digests": recount.digests,
                "corrected_digests": recount.differences,
                "corrected_projects": recount.wrong_projects,
            },
        )


def _report(log: TaskLog, recount: Recount, step: Step, usage: ProjectUsage | None) -> None:
    for each in step.differences:
        log.warning(
            f"Project {step.project_name}: {each.digest} was counted {each.old_count} times with {each.old_bytes} "
            f"bytes, and is used {each.new_count} times with {each.new_bytes} bytes."
        )
    if usage is not None and usage.old_bytes != usage.new_bytes:
        verb = "would be" if recount.dry_run else "is"
        log.warning(f"Project {usage.name}: its usage was {usage.old_bytes} bytes, and {verb} {usage.new_bytes} bytes.")
