"""metasvc's own server on a unix socket, and callers with the tokens that the other services would have given them."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from metasvc.clients.visible_projects import RememberedVisibleProjects
from metasvc.config import MetaSettings
from metasvc.domain.pull import PullRecorder
from metasvc.server import build_server
from svckit.access.call import Call
from svckit.access.decision import NOT_VISIBLE, AccessibleProjects, ProjectDecision, ProjectKey, ResolvedProject
from svckit.errors import NotFound
from svckit.keys import KeyPair
from svckit.metrics import Metrics
from svckit.rpc import RpcChannel, RpcServerSettings, open_channel
from svckit.services import NAMES
from svckit.tokens import Access, IdentityToken, Receipt, RegistryToken, ServiceToken
from svckit.tokens.signer import TokenSigner
from svckit.tokens.verifier import TokenVerifier
from svckit.trust import TrustBundle
from tests.contract.metasvc.world import World

Metadata = tuple[tuple[str, str], ...]


class Keyring:
    """Signs whatever any service may sign."""

    def __init__(self, folder: Path) -> None:
        self.trust = TrustBundle(folder)
        self._keypairs = {service: KeyPair.generate() for service in NAMES}
        for service, keypair in self._keypairs.items():
            self.trust.publish(service, keypair)

    def signer(self, service: str) -> TokenSigner:
        return TokenSigner(service, self._keypairs[service])

    def stranger(self, service: str) -> TokenSigner:
        """Who calls itself that service and has a key that nobody trusts."""
        return TokenSigner(service, KeyPair.generate())

    def registry(self, *access: tuple[str, str, int], subject: str = "user:7") -> Metadata:
        """A registry token: repository, actions separated by commas, and the project's id, each."""
        entries = tuple(
            Access("repository", name, frozenset(actions.split(",")), project_id)
            for name, actions, project_id in access
        )
        token = self.signer("authsvc").sign(RegistryToken(subject=subject, access=entries))
        return _bearer(token.text)

    def identity(self, user_id: int = 7) -> Metadata:
        token = IdentityToken(subject=f"user:{user_id}", kind="user", id=user_id, name="somebody")
        return _bearer(self.signer("authsvc").sign(token).text)

    def service(self, name: str) -> Metadata:
        token = self.signer(name).sign(ServiceToken(subject=f"service:{name}"))
        return (("x-roadstead-service", token.text),)

    def receipt(
        self,
        repository: str,
        digest: str,
        *,
        size: int = 100,
        generation: int = 1,
        project_id: int = 1,
        signer: TokenSigner | None = None,
    ) -> str:
        claims = Receipt(
            subject="user:7",
            repository=repository,
            project_id=project_id,
            digest=digest,
            generation=generation,
            size=size,
        )
        return (signer or self.signer("blobsvc")).sign(claims).text


def _bearer(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


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
            store=world.store,
            directory=world.directory,
            configs=world.configs,
            visible=RememberedVisibleProjects(permissions),
            checker=permissions,
            verifier=TokenVerifier(keyring.trust),
            signer=keyring.signer("metasvc"),
            pulls=pulls,
            metrics=Metrics("metasvc"),
            clock=world.clock,
        )
        await server.start()
        try:
            async with open_channel(address) as channel:
                yield Remote(channel, keyring, permissions, pulls)
        finally:
            await server.drain(0)
