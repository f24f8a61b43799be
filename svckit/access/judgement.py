"""May this caller do this? The only place where a refusal gets its reason.

| Caller | Refused because | Reason |
|---|---|---|
| registry token | it does not name exactly this repository with this action | INSUFFICIENT_SCOPE |
| nobody in particular | nobody may | UNAUTHORIZED |
| user, robot | may not know that the project exists, or it does not | PROJECT_UNKNOWN |
| user, robot | may not | FORBIDDEN |
| service that acts for itself | the rule does not name it | FORBIDDEN |

PROJECT_UNKNOWN always carries the table's own text, so that a project that is hidden reads as one that is not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from svckit.access.decision import ResolvedProject
from svckit.errors import Denied, NotFound, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from collections.abc import Set as AbstractSet

    from svckit.access.decision import ProjectDecision, ProjectKey
    from svckit.access.principal import Principal
    from svckit.tokens import RegistryToken

# What a registry token can permit (Docker's token specification).
_REPOSITORY = "repository"
_REPOSITORY_ACTIONS = frozenset({"pull", "push", "delete"})
_CATALOG = "catalog"

ADMINISTRATOR_RIGHT = ("user", "update")
"""The right that tells a system administrator from others where the rule is `self`: to change any user."""


async def judge_project(
    principal: Principal,
    project: ProjectKey,
    resource: str,
    action: str,
    decide: Callable[[], Awaitable[ProjectDecision]],
) -> ResolvedProject:
    """Permits `action` on `resource` in the project, or raises the refusal of the table above.

    Args:
        principal: who calls; no service that acts for itself, which `judge_acting` judges.
        project: which project.
        resource: what it is done to.
        action: what is to be done.
        decide: asks what this identity may do; not called where the principal's own token decides.

    Raises:
        DomainError: the refusal, or what `decide` raises.
    """
    if principal.registry is not None:
        return _judge_registry_token(principal.registry, project, resource, action)
    decision = await decide()
    if decision.allowed:
        return ResolvedProject(decision.project_id, decision.project_name)
    if principal.kind == "anonymous":
        raise Unauthenticated(metadata=_scope(project, resource, action))
    if not decision.visible:
        raise NotFound("PROJECT_UNKNOWN")
    raise Denied


async def judge_system(principal: Principal, resource: str, decide: Callable[[], Awaitable[bool]]) -> None:
    """Permits what `decide` is asked about, on the system level, or raises the refusal.

    A registry token opens the catalog and nothing else. The principal is no service that acts for itself.

    Raises:
        DomainError: the refusal, or what `decide` raises.
    """
    if principal.registry is not None:
        if resource != _CATALOG or principal.registry.allowed("registry", _CATALOG, "*") is None:
            raise Unauthenticated("INSUFFICIENT_SCOPE", metadata=_catalog_scope(resource))
        return
    if principal.kind == "anonymous":
        # No role on the system level is ever given to everybody.
        raise Unauthenticated(metadata=_catalog_scope(resource))
    if not await decide():
        raise Denied


def judge_authenticated(principal: Principal) -> None:
    """Permits callers who have proved who they are by an identity token.

    A registry token does not count: it was narrowed to some repositories, and is kept by programs that should be able
    to do no more than that.

    Raises:
        DomainError: the refusal.
    """
    if principal.identity is None:
        refuse_without_identity(principal)


def judge_self(principal: Principal, user_id: int | None) -> bool:
    """Tells whether the caller is the user with this id, or any user where it is None.

    Returns:
        False for who may be a system administrator: `ADMINISTRATOR_RIGHT` decides then.

    Raises:
        DomainError: the refusal of everybody else.
    """
    judge_authenticated(principal)
    if principal.kind == "user" and (user_id is None or user_id == principal.id):
        return True
    # The token's word is up to five minutes old, so it is not enough; and asking is not worth it without it.
    if principal.is_admin:
        return False
    raise Denied


def judge_service(caller_service: str | None, callers: AbstractSet[str]) -> None:
    """Permits the named services.

    Raises:
        DomainError: UNAUTHORIZED for who is no service, FORBIDDEN for another service.
    """
    if caller_service is None:
        raise Unauthenticated
    if caller_service not in callers:
        raise Denied


def judge_acting(principal: Principal, services: AbstractSet[str]) -> bool:
    """Tells whether the caller is a service that acts for itself, and permits the named services only.

    Such a service needs no other right: what follows asks about callers who have roles.

    Raises:
        DomainError: FORBIDDEN for another service that acts for itself.
    """
    if principal.kind != "service":
        return False
    if principal.name not in services:
        raise Denied
    return True


def refuse_without_identity(principal: Principal) -> NoReturn:
    """Raises the refusal of a caller who needed an identity token and has none."""
    if principal.registry is not None:
        raise Unauthenticated("INSUFFICIENT_SCOPE")
    if principal.kind == "service":
        raise Denied
    raise Unauthenticated


def _judge_registry_token(token: RegistryToken, project: ProjectKey, resource: str, action: str) -> ResolvedProject:
    if resource == _REPOSITORY and action in _REPOSITORY_ACTIONS and project.repository is not None:
        entry = token.allowed(_REPOSITORY, project.repository, action)
        # The project that had the name when the token was made: a new one of the same name is another one.
        if entry is not None and entry.project_id is not None and project.id in (None, entry.project_id):
            return ResolvedProject(entry.project_id, project.repository.partition("/")[0])
    scope = _scope(project, resource, action)
    # The one text for both, so that it tells nobody which projects there are.
    message = (
        f"{action} of {project.repository} is denied: the project does not exist, or the caller may not {action} there"
        if scope
        else None
    )
    raise Unauthenticated("INSUFFICIENT_SCOPE", message, metadata=scope)


def _scope(project: ProjectKey, resource: str, action: str) -> dict[str, str]:
    """The scope of the token that would help, for the challenge of /v2."""
    if resource == _REPOSITORY and action in _REPOSITORY_ACTIONS and project.repository is not None:
        return {"scope": f"repository:{project.repository}:{action}"}
    return {}


def _catalog_scope(resource: str) -> dict[str, str]:
    return {"scope": "registry:catalog:*"} if resource == _CATALOG else {}
