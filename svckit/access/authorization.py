"""Decides whether a caller may do something. This is the only place that chooses the reason of a refusal.

| Caller | Refused because | Reason |
|---|---|---|
| registry token | it does not name exactly this repository with this action | INSUFFICIENT_SCOPE |
| anonymous | anonymous callers may not do this | UNAUTHORIZED |
| user, robot | the project does not exist, or the caller must not know that it exists | PROJECT_UNKNOWN |
| user, robot | it does not have the permission | FORBIDDEN |
| service that acts for itself | the rule does not name it | FORBIDDEN |
| anybody with a ticket or receipt | it was given to another caller | TICKET_INVALID, RECEIPT_INVALID |

PROJECT_UNKNOWN always has the same text, so that a caller cannot tell a hidden project from one that does not exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from svckit.access.decision import ResolvedProject
from svckit.errors import Denied, NotFound, Unauthenticated, error_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from collections.abc import Set as AbstractSet

    from svckit.access.decision import ProjectDecision, ProjectKey
    from svckit.access.principal import Principal
    from svckit.tokens import Receipt, RegistryToken, UploadTicket

# The resources and actions in a registry token (Docker's token specification).
_REPOSITORY = "repository"
_REPOSITORY_ACTIONS = frozenset({"pull", "push", "delete"})
_CATALOG = "catalog"

USER = "user"
"""Harbor's resource for the users of the installation."""
ADMINISTRATOR_RIGHT = (USER, "update")
"""The permission that a `self` rule uses to recognize an administrator: to change any user."""


async def authorize_project(
    principal: Principal,
    project: ProjectKey,
    resource: str,
    action: str,
    decide: Callable[[], Awaitable[ProjectDecision]],
) -> ResolvedProject:
    """Returns the project if the principal may do `action` on `resource` in it; otherwise raises as in the table above.

    Args:
        principal: the caller. For a service that acts for itself, use `authorize_acting` instead.
        project: the project.
        resource: the resource that is used.
        action: the action on the resource.
        decide: asks what this identity may do. Not called if the principal's own token decides.

    Raises:
        DomainError: the refusal, or an error of `decide`.
    """
    if principal.registry is not None:
        return _authorize_registry_token(principal.registry, project, resource, action)
    decision = await decide()
    if decision.allowed:
        return ResolvedProject(decision.project_id, decision.project_name)
    if principal.kind == "anonymous":
        raise Unauthenticated(metadata=_scope(project, resource, action))
    if not decision.visible:
        raise NotFound("PROJECT_UNKNOWN")
    raise Denied


async def authorize_system(principal: Principal, resource: str, decide: Callable[[], Awaitable[bool]]) -> None:
    """Raises unless `decide` allows the action on the system level.

    A registry token gives access to the catalog and nothing else. For a service that acts for itself, use
    `authorize_acting` instead.

    Raises:
        DomainError: the refusal, or an error of `decide`.
    """
    if principal.registry is not None:
        if resource != _CATALOG or principal.registry.allowed("registry", _CATALOG, "*") is None:
            raise Unauthenticated("INSUFFICIENT_SCOPE", metadata=_catalog_scope(resource))
        return
    if principal.kind == "anonymous":
        # Anonymous callers never have a role on the system level.
        raise Unauthenticated(metadata=_catalog_scope(resource))
    if not await decide():
        raise Denied


def authorize_authenticated(principal: Principal) -> None:
    """Raises unless the caller has an identity token.

    A registry token is not enough: it is limited to some repositories, and the programs that hold it should not be able
    to do anything else.

    Raises:
        DomainError: the refusal.
    """
    if principal.identity is None:
        refuse_without_identity(principal)


def authorize_self(principal: Principal, user_id: int | None) -> bool:
    """Tells whether the caller is the user with this id; with None, whether it is a user.

    Returns:
        False if the caller may be a system administrator. Then `ADMINISTRATOR_RIGHT` decides.

    Raises:
        DomainError: the refusal of all other callers.
    """
    authorize_authenticated(principal)
    if principal.kind == "user" and (user_id is None or user_id == principal.id):
        return True
    # `is_admin` may be five minutes old, so it is not enough to allow this. If it is false, asking is not worth a call.
    if principal.is_admin:
        return False
    raise Denied


def authorize_upload(principal: Principal, document: UploadTicket | Receipt) -> None:
    """Raises unless the principal may go on with the upload of a ticket, or link the blob of a receipt.

    This is for the subject that started the upload, with a registry token that allows push there. The token may have
    expired since the start: a client cannot send a body again after a 401 in the middle of a push. An identity token,
    where it is accepted, must still be valid; what it allows is asked elsewhere.

    Raises:
        DomainError: the refusal. UNAUTHORIZED also if the token had expired before the upload was started.
    """
    scope = {"scope": f"{_REPOSITORY}:{document.repository}:push"}
    token = principal.registry
    if token is None and principal.identity is None:
        raise Unauthenticated(metadata=scope)
    if token is not None:
        entry = token.allowed(_REPOSITORY, document.repository, "push")
        if entry is None or entry.project_id != document.project_id:
            raise Unauthenticated("INSUFFICIENT_SCOPE", metadata=scope)
        if token.expire_time + token.leeway_seconds <= document.upload_time:
            raise Unauthenticated(message="the registry token expired before the upload was started", metadata=scope)
    if principal.subject != document.subject:
        raise error_for(document.refusal)


def authorize_service(caller_service: str | None, callers: AbstractSet[str]) -> None:
    """Raises unless one of the named services calls.

    Raises:
        DomainError: UNAUTHORIZED if the caller is not a service, FORBIDDEN for another service.
    """
    if caller_service is None:
        raise Unauthenticated
    if caller_service not in callers:
        raise Denied


def authorize_acting(principal: Principal, services: AbstractSet[str]) -> bool:
    """Tells whether the caller is a service that acts for itself, and refuses all but the named services.

    Such a service needs no other right. The checks that follow are for callers with roles.

    Raises:
        DomainError: FORBIDDEN for a service that acts for itself and is not named.
    """
    if principal.kind != "service":
        return False
    if principal.name not in services:
        raise Denied
    return True


def refuse_without_identity(principal: Principal) -> NoReturn:
    """Raises the refusal of a caller that needs an identity token and has none."""
    if principal.registry is not None:
        raise Unauthenticated("INSUFFICIENT_SCOPE")
    if principal.kind == "service":
        raise Denied
    raise Unauthenticated


def _authorize_registry_token(token: RegistryToken, project: ProjectKey, resource: str, action: str) -> ResolvedProject:
    if resource == _REPOSITORY and action in _REPOSITORY_ACTIONS and project.repository is not None:
        entry = token.allowed(_REPOSITORY, project.repository, action)
        # The token has the id of the project that had this name when the token was made. A new project with the same
        # name has another id, and the token is not valid for it.
        if entry is not None and entry.project_id is not None and project.id in (None, entry.project_id):
            return ResolvedProject(entry.project_id, project.repository.partition("/")[0])
    scope = _scope(project, resource, action)
    # The text is the same for both cases, so that nobody learns from it which projects exist.
    message = (
        f"{action} of {project.repository} is denied: the project does not exist, or the caller may not {action} there"
        if scope
        else None
    )
    raise Unauthenticated("INSUFFICIENT_SCOPE", message, metadata=scope)


def _scope(project: ProjectKey, resource: str, action: str) -> dict[str, str]:
    """The scope that a token needs for this request, for the challenge of /v2."""
    if resource == _REPOSITORY and action in _REPOSITORY_ACTIONS and project.repository is not None:
        return {"scope": f"repository:{project.repository}:{action}"}
    return {}


def _catalog_scope(resource: str) -> dict[str, str]:
    return {"scope": "registry:catalog:*"} if resource == _CATALOG else {}
