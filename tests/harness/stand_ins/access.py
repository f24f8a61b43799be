"""Stand-ins of `svckit.access.call.AccessChecker`, which says what a caller may do."""

from dataclasses import dataclass, field

from svckit.access.call import Call
from svckit.access.decision import NOT_VISIBLE, AccessibleProjects, ProjectDecision, ProjectKey, ResolvedProject
from svckit.errors import NotFound


class Allowing:
    """Allows everything, for tests of the calling side."""

    async def check_project(self, call: Call, project: ProjectKey, resource: str, action: str) -> ProjectDecision:
        return ProjectDecision(allowed=True, visible=True, project_id=project.id or 1, project_name=project.name or "p")

    async def check_system(self, call: Call, resource: str, action: str) -> bool:
        return True

    async def resolve_project(self, call: Call, project: ProjectKey) -> ResolvedProject:
        return ResolvedProject(project.id or 1, project.name or "p")


@dataclass
class Permissions:
    """Answers as authsvc would: `allowed` holds user id, project, resource and action."""

    allowed: set[tuple[int, str, str, str]] = field(default_factory=set)
    visible: set[tuple[int, str]] = field(default_factory=set)
    projects: dict[str, int] = field(default_factory=lambda: {"alpha": 1, "beta": 2, "small": 3})

    async def check_project(self, call: Call, project: ProjectKey, resource: str, action: str) -> ProjectDecision:
        names = {project_id: name for name, project_id in self.projects.items()}
        name = project.name if project.name is not None else names.get(project.id or 0, "")
        user = call.principal.id or 0
        allowed = (user, name, resource, action) in self.allowed
        if name not in self.projects or not (allowed or (user, name) in self.visible):
            return NOT_VISIBLE
        return ProjectDecision(allowed, visible=True, project_id=self.projects[name], project_name=name)

    async def check_system(self, call: Call, resource: str, action: str) -> bool:
        return (call.principal.id or 0, "", resource, action) in self.allowed

    async def resolve_project(self, call: Call, project: ProjectKey) -> ResolvedProject:
        for name, project_id in self.projects.items():
            if project.name == name or project.id == project_id:
                return ResolvedProject(project_id, name)
        raise NotFound("PROJECT_UNKNOWN")

    async def accessible_projects(self, call: Call, resource: str, action: str) -> AccessibleProjects:
        user = call.principal.id or 0
        return AccessibleProjects(
            all=False,
            project_ids=frozenset(
                project_id
                for name, project_id in self.projects.items()
                if (user, name, resource, action) in self.allowed
            ),
        )

    async def project_count(self, call: Call) -> int:
        return len(self.projects)


@dataclass
class People:
    """Project 1 is `library` and public; project 2 is `hidden`.

    User 7 and robot 12 may read in `library` and nothing in `hidden`; user 1 is the administrator.
    """

    is_reachable: bool = True
    administrators: set[str] = field(default_factory=lambda: {"user:1"})
    asked: list[tuple[str, str, str, str]] = field(default_factory=list)
    resolved: list[str] = field(default_factory=list)

    async def check_project(self, call: Call, project: ProjectKey, resource: str, action: str) -> ProjectDecision:
        self.asked.append((call.principal.subject, project.name or str(project.id), resource, action))
        if not self.is_reachable:
            raise ConnectionError("password=hunter2")
        found = self._find(project)
        if found is None:
            return NOT_VISIBLE
        name = found.name
        if call.principal.subject in self.administrators:
            return ProjectDecision(allowed=True, visible=True, project_id=found.id, project_name=name)
        if name == "hidden":
            return NOT_VISIBLE
        may = action in ("read", "pull") and (resource != "robot" or call.principal.kind != "anonymous")
        return ProjectDecision(allowed=may, visible=True, project_id=1, project_name=name)

    async def check_system(self, call: Call, resource: str, action: str) -> bool:
        self.asked.append((call.principal.subject, "", resource, action))
        return call.principal.subject in self.administrators

    async def resolve_project(self, call: Call, project: ProjectKey) -> ResolvedProject:
        self.resolved.append(project.name or str(project.id))
        found = self._find(project)
        if found is None:
            raise NotFound("PROJECT_UNKNOWN")
        return found

    @staticmethod
    def _find(project: ProjectKey) -> ResolvedProject | None:
        projects = (ResolvedProject(1, "library"), ResolvedProject(2, "hidden"))
        return next((found for found in projects if project.id == found.id or project.name == found.name), None)
