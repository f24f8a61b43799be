"""What a recount of quotas finds, and how it is reported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobsvc.engine.domain.kind import Backoff, Kind
from jobsvc.engine.domain.parameters import takes

if TYPE_CHECKING:
    from collections.abc import Sequence

KIND = Kind(
    name="QUOTA_RECOUNT",
    concurrency=1,
    maximum_failures=3,
    backoff=Backoff(first_seconds=60),
    # On Sundays, when there is little else to do. It only reads, unless something is wrong.
    default_schedule="0 0 4 * * 0",
    kept_executions=10,
    may_be_started=True,
    check_parameters=takes(project_id=0, dry_run=False),
)
"""Counts anew what projects use: of all, or of the one with `project_id`. With `dry_run`, nothing is corrected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A digest whose uses in a project were counted wrong.

    Attributes:
        digest: the digest.
        old_count: how often it was counted.
        new_count: how many links and manifests there are.
        old_bytes: what was charged for it.
        new_bytes: what is charged now.
    """

    digest: str
    old_count: int
    new_count: int
    old_bytes: int
    new_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What metasvc says about one step.

    Attributes:
        project_id: the project; 0 if there was none to look at.
        project_name: its name.
        digests: how many digests were looked at.
        differences: what was counted wrong.
        old_used_bytes: the usage of the project before the step.
        new_used_bytes: the usage after it; in a dry run, with only these differences corrected.
        is_project_done: whether all digests of the project were looked at.
        next_page_token: of the next step; empty after the last one.
        remaining_projects: how many projects there are to look at, this one included.
    """

    project_id: int
    project_name: str
    digests: int
    differences: Sequence[Difference]
    old_used_bytes: int
    new_used_bytes: int
    is_project_done: bool
    next_page_token: str
    remaining_projects: int


@dataclass(slots=True, kw_only=True)
class ProjectUsage:
    """The usage of the project that is looked at, over several steps.

    Attributes:
        project_id: the project.
        name: its name.
        old_bytes: before the first step.
        new_bytes: after the last step so far.
    """

    project_id: int
    name: str
    old_bytes: int
    new_bytes: int


@dataclass(slots=True, kw_only=True)
class Recount:
    """What a recount has found so far.

    Attributes:
        dry_run: whether nothing is corrected.
        projects: how many projects were looked at to their end.
        digests: how many digests were looked at.
        differences: how many of them were counted wrong.
        wrong_projects: how many projects had another usage than was counted.
        current: the project that is looked at.
    """

    dry_run: bool
    projects: int = 0
    digests: int = 0
    differences: int = 0
    wrong_projects: int = 0
    current: ProjectUsage | None = field(default=None)

    def add(self, step: Step) -> ProjectUsage | None:
        """Adds a step.

        Returns:
            The usage of the project, if the step was its last one.
        """
        if not step.project_id:
            return None
        if self.current is None or self.current.project_id != step.project_id:
            self.current = ProjectUsage(
                project_id=step.project_id,
                name=step.project_name,
                old_bytes=step.old_used_bytes,
                new_bytes=step.new_used_bytes,
            )
        elif self.dry_run:
            # Each step of a dry run starts from the charges as they are.
            self.current.new_bytes += sum(each.new_bytes - each.old_bytes for each in step.differences)
        else:
            self.current.new_bytes = step.new_used_bytes
        self.digests += step.digests
        self.differences += len(step.differences)
        if not step.is_project_done:
            return None
        self.projects += 1
        self.wrong_projects += self.current.old_bytes != self.current.new_bytes
        return self.current
