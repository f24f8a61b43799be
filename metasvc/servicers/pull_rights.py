"""What the caller of a mount or a copy may take from a source, according to its token or to authsvc."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svckit.access.decision import ProjectKey
from svckit.errors import DomainError, error_for
from svckit.oci.errors import OciFormatError
from svckit.oci.repository import RepositoryName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svckit.access.call import Call
    from svckit.access.decision import ResolvedProject

_RESOURCE = "repository"
_ACTION = "pull"


def require_asked(call: Call, source: str) -> None:
    """Refuses a registry token that was requested without the source of the mount, so that the client fetches another.

    Clients keep one token per repository and use it for all pushes there. Without this, their mounts would never
    succeed. If the token was requested for the source but not granted, a new token would not help. Then the mount
    fails, and the client uploads the blob.

    Raises:
        DomainError: INSUFFICIENT_SCOPE.
    """
    token = call.principal.registry
    if token is None or token.was_asked_for(source):
        return
    try:
        RepositoryName.parse(source)
    except OciFormatError:
        return
    raise error_for("INSUFFICIENT_SCOPE", metadata={"scope": f"{_RESOURCE}:{source}:{_ACTION}"})


async def require_readable(call: Call, source: RepositoryName) -> ResolvedProject:
    """Refuses a copy unless the caller may read artifacts of its source, and pull.

    Harbor asks for the first right only. Then a robot that may not pull could copy an artifact to where it may.

    Raises:
        DomainError: PROJECT_UNKNOWN, FORBIDDEN, UNAUTHORIZED.
    """
    key = ProjectKey(name=source.project, repository=str(source))
    await call.check_project(key, "artifact", "read")
    return await call.check_project(key, _RESOURCE, _ACTION)


class CallPullRights:
    """`domain.ports.PullRights` for one call."""

    def __init__(self, call: Call) -> None:
        """Takes the call."""
        self._call = call

    async def sources(self, repository: str | None) -> Sequence[tuple[int, str]]:
        """See the port. Project ids come from the token or from authsvc, and are never looked up by name here."""
        if repository is None:
            return self._named_in_token()
        try:
            name = RepositoryName.parse(repository)
            key = ProjectKey(name=name.project, repository=str(name))
            project = await self._call.check_project(key, _RESOURCE, _ACTION)
        except (OciFormatError, DomainError):
            return []
        return [(project.id, str(name))]

    def _named_in_token(self) -> Sequence[tuple[int, str]]:
        token = self._call.principal.registry
        if token is None:
            return []
        return [
            (entry.project_id, entry.name)
            for entry in token.access
            if entry.type == _RESOURCE and _ACTION in entry.actions and entry.project_id is not None
        ]
