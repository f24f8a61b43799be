"""The recount goes step by step, says what it finds, and can be stopped."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from jobsvc.engine.worker.run import Ending
from jobsvc.quota_recount.domain import Difference, Step
from jobsvc.quota_recount.handler import QuotaRecountHandler
from svckit.errors import NotFound
from tests.unit.jobsvc.handling import handle

DIGEST = "sha256:" + "a" * 64


def step(project_id: int, token: str, old: int, new: int, *differences: Difference, done: bool = True) -> Step:
    return Step(
        project_id=project_id,
        project_name=f"project{project_id}",
        digests=10,
        differences=differences,
        old_used_bytes=old,
        new_used_bytes=new,
        is_project_done=done,
        next_page_token=token,
        remaining_projects=3 - project_id,
    )


def difference(old_bytes: int, new_bytes: int) -> Difference:
    return Difference(digest=DIGEST, old_count=3, new_count=2, old_bytes=old_bytes, new_bytes=new_bytes)


@dataclass
class Steps:
    """A metasvc that answers these steps."""

    steps: Sequence[Step]
    asked: list[tuple[int, bool, str]] = field(default_factory=list)

    async def step(self, *, project_id: int, dry_run: bool, page_token: str) -> Step:
        self.asked.append((project_id, dry_run, page_token))
        if project_id == 99:
            raise NotFound("PROJECT_UNKNOWN")
        return self.steps[len(self.asked) - 1]


async def test_it_goes_through_all_projects_and_says_what_was_wrong() -> None:
    steps = Steps(
        [
            step(1, "a", 500, 450, difference(150, 100), done=False),
            step(1, "b", 450, 440, difference(60, 50)),
            step(2, "", 7, 7),
        ]
    )
    handled = await handle(QuotaRecountHandler(steps), {})
    assert steps.asked == [(0, False, ""), (0, False, "a"), (0, False, "b")]
    assert handled.lines == [
        "INFO Recount of all projects.",
        f"WARNING Project project1: {DIGEST} was counted 3 times with 150 bytes, and is used 2 times with 100 bytes.",
        f"WARNING Project project1: {DIGEST} was counted 3 times with 60 bytes, and is used 2 times with 50 bytes.",
        "WARNING Project project1: its usage was 500 bytes, and is 440 bytes.",
        "INFO Counted projects: 2, digests: 30. Corrected: usages: 1, digests: 2.",
    ]
    assert (handled.ending, handled.progress) == (Ending.SUCCESS, (2, 2, "project2"))
    assert handled.outcome.execution_extra_attributes == {
        "dry_run": False,
        "counted_projects": 2,
        "counted_digests": 30,
        "corrected_digests": 2,
        "corrected_projects": 1,
    }


async def test_a_dry_run_says_what_would_be_corrected() -> None:
    steps = Steps([step(1, "a", 500, 450, difference(150, 100), done=False), step(1, "", 500, 490, difference(60, 50))])
    handled = await handle(QuotaRecountHandler(steps), {"project_id": 1, "dry_run": True})
    assert steps.asked == [(1, True, ""), (1, True, "a")]
    assert handled.lines[0] == "INFO Recount of project 1, dry run: nothing is corrected."
    assert handled.lines[-2:] == [
        "WARNING Project project1: its usage was 500 bytes, and would be 440 bytes.",
        "INFO Counted projects: 1, digests: 20. To correct: usages: 1, digests: 2.",
    ]


async def test_without_projects_it_succeeds() -> None:
    nothing = Step(
        project_id=0,
        project_name="",
        digests=0,
        differences=(),
        old_used_bytes=0,
        new_used_bytes=0,
        is_project_done=True,
        next_page_token="",
        remaining_projects=0,
    )
    handled = await handle(QuotaRecountHandler(Steps([nothing])), {})
    assert (handled.ending, handled.outcome.execution_extra_attributes["counted_projects"]) == (Ending.SUCCESS, 0)


async def test_an_unknown_project_is_not_tried_again() -> None:
    handled = await handle(QuotaRecountHandler(Steps([])), {"project_id": 99})
    assert (handled.ending, handled.message) == (Ending.FINAL_ERROR, "there is no project 99 with a quota")


async def test_a_stop_takes_effect_before_the_next_step() -> None:
    steps = Steps([step(1, "more", 0, 0)] * 100)
    handled = await handle(QuotaRecountHandler(steps), {}, started=lambda run: run.stop())
    assert (handled.ending, steps.asked) == (Ending.STOPPED, [])
