"""metasvc's own server on a unix socket, and callers with the tokens that the other services would have given them."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from metasvc.clients.visible_projects import RememberedVisibleProjects
from metasvc.config import MetaSettings
from metasvc.domain.pull import PullRecorder
from metasvc.server import build_server
from svckit.access.call import Call
from svckit.access.decision import NOT_VISIBLE, AccessibleProjects, ProjectDecision, ProjectKey, ResolvedProject
from svckit.errors import NotFound
from svckit.metrics import Metrics
from svckit.rpc import RpcChannel, RpcServerSettings, open_channel
from tests.contract.metasvc.world import World
from tests.harness.keyring import Keyring


@dataclass
class Permissions:
    """What authsvc would answer: `allowed` holds user id, project, resource and action."""

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


@dataclass
class Remote:
    """A running server.

    Attributes:
        channel: raises DomainError, as those of services do.
        keyring: signs for callers.
        permissions: what identity tokens may do.
        pulls: what was pulled.
    """

    channel: RpcChannel
    keyring: Keyring
    permissions: Permissions
    pulls: PullRecorder


@asynccontextmanager
async def serving(world: World) -> AsyncIterator[Remote]:
    """Serves a world."""
    # A short path of its own: a socket's is limited to 107 characters.
    with tempfile.TemporaryDirectory(prefix="meta") as folder:
        keyring = Keyring(Path(folder) / "trust")
        permissions = Permissions()
        address = f"unix:{folder}/meta.sock"
        pulls = PullRecorder(world.store, world.clock)
        server = build_server(
            MetaSettings(rpc=RpcServerSettings(listen=(address,))),
            replace(world.ports, visible=RememberedVisibleProjects(permissions)),
            checker=permissions,
            verifier=keyring.verifier(),
            signer=keyring.signer("metasvc"),
            pulls=pulls,
            metrics=Metrics("metasvc"),
        )
        await server.start()
        try:
            async with open_channel(address) as channel:
                yield Remote(channel, keyring, permissions, pulls)
        finally:
            await server.drain(0)
