"""The project in which a permission is checked, and the result of the check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProjectKey:
    """A project as the request names it: by `id` or by `name`, exactly one of them.

    Attributes:
        id: the project's id.
        name: the project's name.
        repository: the full name of the repository, if the request names one. A registry token must contain it.
    """

    id: int | None = None
    name: str | None = None
    repository: str | None = None

    def __post_init__(self) -> None:
        if (self.id is None) == (self.name is None):
            raise ValueError("a project is named by its id or by its name")


@dataclass(frozen=True, slots=True)
class ResolvedProject:
    """An existing project in which this call has been authorized.

    Attributes:
        id: the project's id, from the checker or from the registry token.
        name: its name.
    """

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class ProjectDecision:
    """The result of checking one permission in one project.

    Attributes:
        allowed: whether the caller has the permission.
        visible: whether the caller may know that the project exists. Also False if the project does not exist.
        project_id: 0 if not visible.
        project_name: empty if not visible.
    """

    allowed: bool
    visible: bool
    project_id: int = 0
    project_name: str = ""


NOT_VISIBLE = ProjectDecision(allowed=False, visible=False)
"""The result for a project that does not exist or that the caller may not see. The caller cannot tell which."""


@dataclass(frozen=True, slots=True)
class AccessibleProjects:
    """The projects in which a caller has a certain permission.

    Attributes:
        all: whether these are all projects; then `project_ids` is empty.
        project_ids: the ids of the projects.
    """

    all: bool
    project_ids: frozenset[int] = frozenset()
