"""The compaction goes on until nothing is left in each log, and can be stopped in between."""

from dataclasses import dataclass

from jobsvc.change_log_compaction.domain import Compacted
from jobsvc.change_log_compaction.handler import ChangeLogCompactionHandler
from jobsvc.engine.worker.run import Ending
from svckit.errors import Unavailable
from tests.unit.jobsvc.handling import handle


@dataclass
class Log:
    """A log with so many changes to delete, ten with each call."""

    service: str
    to_delete: int
    calls: int = 0
    is_away: bool = False

    async def compact(self) -> Compacted:
        self.calls += 1
        if self.is_away:
            raise Unavailable
        deleted = min(10, self.to_delete)
        self.to_delete -= deleted
        return Compacted(deleted=deleted, compacted_to=1000 - self.to_delete, has_more=self.to_delete > 0)


async def test_each_log_is_compacted_to_its_end() -> None:
    logs = [Log("metasvc", 25), Log("authsvc", 0)]
    handled = await handle(ChangeLogCompactionHandler(logs), {})
    assert [log.calls for log in logs] == [3, 1]
    assert handled.lines == [
        "INFO Change log of metasvc: deleted changes: 25; all up to revision 1000 are deleted.",
        "INFO Change log of authsvc: deleted changes: 0; all up to revision 1000 are deleted.",
    ]
    assert (handled.ending, handled.message) == (Ending.SUCCESS, "Deleted changes: 25.")
    assert handled.progress == (25, 0, "authsvc: deleted changes: 0")
    assert handled.outcome.execution_extra_attributes == {"deleted_changes": {"metasvc": 25, "authsvc": 0}}


async def test_a_service_that_is_away_fails_the_run_which_is_tried_again() -> None:
    handled = await handle(ChangeLogCompactionHandler([Log("metasvc", 5, is_away=True)]), {})
    assert handled.ending is Ending.ERROR


async def test_a_stop_takes_effect_between_two_calls() -> None:
    log = Log("metasvc", 1000)
    handled = await handle(ChangeLogCompactionHandler([log]), {}, started=lambda run: run.stop())
    assert (handled.ending, log.calls) == (Ending.STOPPED, 0)
