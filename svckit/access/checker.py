"""The port through which a service learns what a caller may do: authsvc from its store, the others from authsvc."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from svckit.access.call import Call


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


class AccessChecker(Protocol):
    """Answers for the caller of `call`: `call.principal`, by its identity token or by having none.

    It is not asked about registry tokens, which say for themselves what they permit.
    """

    async def check_project(self, call: Call, project: ProjectKey, resource: str, action: str) -> ProjectDecision:
        """Whether the caller may do `action` on `resource` in the project.

        Raises:
            DomainError: UNAVAILABLE where it cannot be found out. Nothing is allowed then.
        """

    async def check_system(self, call: Call, resource: str, action: str) -> bool:
        """Whether the caller may do `action` on `resource` on the system level. Raises as `check_project`."""


class NoPermissions:
    """An `AccessChecker` that allows nothing: for services that live by registry tokens and documents alone."""

    async def check_project(self, call: Call, project: ProjectKey, resource: str, action: str) -> ProjectDecision:
        """Not allowed, not visible."""
        return NOT_VISIBLE

    async def check_system(self, call: Call, resource: str, action: str) -> bool:
        """Not allowed."""
        return False
