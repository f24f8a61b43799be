"""What the caller of a mount may pull, as its token or authsvc says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svckit.access.decision import ProjectKey
from svckit.errors import DomainError, error_for
from svckit.oci.errors import OciFormatError
from svckit.oci.repository import RepositoryName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svckit.access.call import Call

_RESOURCE = "repository"
_ACTION = "pull"


def require_asked(call: Call, source: str) -> None:
    """Sends a client whose token was never asked for the source of a mount to fetch one that was.

    Clients keep a token for a repository and use it for all that they push there; without this, no mount of theirs
    would ever succeed. A token that was refused the source is as good as it gets: then the mount is what fails.

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


class CallPullRights:
    """See `domain.ports.PullRights`. Of one call."""

    def __init__(self, call: Call) -> None:
        """Takes the call."""
        self._call = call

    async def sources(self, repository: str | None) -> Sequence[tuple[int, str]]:
        """See the port. Project ids come from the token or from authsvc, never from the name alone."""
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
