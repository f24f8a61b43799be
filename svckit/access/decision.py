"""Which project a right is asked for in, and what the answer to that is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProjectKey:
    """A project, named as the request names it: by `id` or by `name`, exactly one of them.

    Attributes:
        id: the project's id.
        name: the project's name.
        repository: the full name of the repository that is meant, where one is: what a registry token is held against.
    """

    id: int | None = None
    name: str | None = None
    repository: str | None = None

    def __post_init__(self) -> None:
        if (self.id is None) == (self.name is None):
            raise ValueError("a project is named by its id or by its name")


@dataclass(frozen=True, slots=True)
class ResolvedProject:
    """A project that exists and on which this call has been permitted.

    Attributes:
        id: the project's id, as the checker or the registry token said.
        name: its name.
    """

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class ProjectDecision:
    """What a checker says of one permission in one project.

    Attributes:
        allowed: whether the caller holds the permission.
        visible: whether the caller may know that the project exists. False as well for one that does not exist.
        project_id: 0 where not visible.
        project_name: empty where not visible.
    """

    allowed: bool
    visible: bool
    project_id: int = 0
    project_name: str = ""


NOT_VISIBLE = ProjectDecision(allowed=False, visible=False)
"""The decision on a project that does not exist, or that the caller may not see: the two are one to the caller."""


@dataclass(frozen=True, slots=True)
class AccessibleProjects:
    """The projects in which a caller holds some permission.

    Attributes:
        all: whether it is every project; `project_ids` is empty then.
        project_ids: their ids.
    """

    all: bool
    project_ids: frozenset[int] = frozenset()
