"""The status of an execution follows from its tasks, in Harbor's order."""

import pytest

from jobsvc.engine.domain.status import ExecutionStatus, TaskCounts, TaskStatus, execution_status

RULES = [
    (TaskCounts(pending=1, error=1), ExecutionStatus.RUNNING),
    (TaskCounts(scheduled=1, success=1), ExecutionStatus.RUNNING),
    (TaskCounts(running=1, stopped=1), ExecutionStatus.RUNNING),
    (TaskCounts(error=1, stopped=1, success=1), ExecutionStatus.ERROR),
    (TaskCounts(error=1), ExecutionStatus.ERROR),
    (TaskCounts(stopped=1, success=1), ExecutionStatus.STOPPED),
    (TaskCounts(stopped=1), ExecutionStatus.STOPPED),
    (TaskCounts(success=3), ExecutionStatus.SUCCESS),
]


@pytest.mark.parametrize(("counts", "status"), RULES)
def test_the_status_of_an_execution_is_that_of_its_tasks_in_harbors_order(
    counts: TaskCounts, status: ExecutionStatus
) -> None:
    assert execution_status(counts) is status


def test_only_a_running_execution_has_not_ended() -> None:
    assert [status for status in ExecutionStatus if not status.is_final] == [ExecutionStatus.RUNNING]
    assert [status.value for status in TaskStatus if status.is_final] == ["Success", "Error", "Stopped"]


@pytest.mark.parametrize("status", TaskStatus)
def test_a_task_that_moves_is_counted_once(status: TaskStatus) -> None:
    made = TaskCounts(error=2).moved(None, status)

    assert made.total == 3
    assert made.moved(status, None) == TaskCounts(error=2)
    assert made.moved(status, TaskStatus.SUCCESS).total == 3
    assert getattr(TaskCounts().moved(None, status), status.name.lower()) == 1
