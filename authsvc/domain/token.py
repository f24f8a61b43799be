"""Registry tokens, by Docker's token specification, and identity tokens.

https://distribution.github.io/distribution/spec/auth/scope/, …/auth/token/
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from authsvc.domain.caller import identify
from authsvc.domain.model import ANONYMOUS, Caller, Identity
from authsvc.domain.permission import READ_CATALOG, REPOSITORY_ACTIONS
from authsvc.domain.refresh_login import PresentedToken
from svckit.errors import FieldViolation, Invalid, Unauthenticated
from svckit.oci.errors import NameInvalidError
from svckit.oci.repository import RepositoryName
from svckit.tokens import Access, IdentityToken, RegistryToken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from authsvc.domain.bundle import Ports
    from authsvc.domain.ports import SignedText
    from authsvc.domain.rows import RepositoryActions

MAXIMUM_SCOPES = 100
MAXIMUM_TOKEN_BYTES = 16 * 1024
"""The longest token that verifiers accept. A longer one would be refused everywhere."""

_MAXIMUM_SCOPE_CHARACTERS = 1024
# The refused names serve cross-repository mounts, which have one source each. A limit keeps the token small.
_MAXIMUM_REFUSED = 20
# "repository", or "repository(plugin)". The class in parentheses is ignored.
_TYPE = re.compile(r"(?P<type>[a-z0-9]+)(?:\([a-z0-9]+\))?")
_CATALOG = Access("registry", "catalog", frozenset({"*"}))


@dataclass(frozen=True, slots=True)
class Scope:
    """The actions that a client asks for on one resource."""

    type: str
    name: str
    actions: frozenset[str]


@dataclass(frozen=True, slots=True)
class PasswordCredentials:
    """A name and its secret."""

    username: str
    secret: str = field(repr=False)


def parse_scopes(texts: Sequence[str]) -> list[Scope]:
    """Reads scopes such as "repository:library/nginx:pull,push". One text may hold several, separated by spaces.

    The result has each resource once, in the order of the request. A scope that cannot be parsed is ignored, because a
    client may ask for types that this registry does not know, and still needs the rest.

    Raises:
        DomainError: BAD_REQUEST; more than 100 scopes.
    """
    parts = [part for text in texts for part in text.split()]
    if len(parts) > MAXIMUM_SCOPES:
        raise Invalid(
            message=f"at most {MAXIMUM_SCOPES} scopes are allowed",
            violations=[FieldViolation("scopes", f"must have at most {MAXIMUM_SCOPES} entries")],
        )
    asked: dict[tuple[str, str], frozenset[str]] = {}
    for part in parts:
        scope = _parse_scope(part)
        if scope is not None:
            key = (scope.type, scope.name)
            asked[key] = asked.get(key, frozenset()) | scope.actions
    return [Scope(kind, name, actions) for (kind, name), actions in asked.items()]


def _parse_scope(text: str) -> Scope | None:
    # A name may contain colons, as in a host with a port. The type ends at the first colon, the actions begin after the
    # last one.
    head, _, actions = text.rpartition(":")
    kind, colon, name = head.partition(":")
    match = _TYPE.fullmatch(kind)
    if len(text) > _MAXIMUM_SCOPE_CHARACTERS or not colon or not name or match is None:
        return None
    wanted = frozenset(action for action in actions.split(",") if action)
    return Scope(match["type"], name, wanted) if wanted else None


async def create_registry_token(
    ports: Ports,
    login: PasswordCredentials | PresentedToken | None,
    identity: Identity | None,
    scopes: Sequence[Scope],
    address: str,
) -> SignedText[RegistryToken]:
    """Makes a registry token, which allows those of the scopes that the caller may use. It may allow nothing.

    With the grant "held", it allows all that the caller may do on the repositories of the scopes.

    The caller is the account of the log-in, by name and secret or by refresh token. Without one it is the bearer of the
    identity token, and without both it is anonymous.

    Raises:
        DomainError: UNAUTHORIZED, a wrong log-in, or an account that may not log in; TOOMANYREQUESTS, OVERLOADED;
            BAD_REQUEST, the granted scopes do not fit into one token.
    """
    # Before anything else is read: whoever loses a right from here on has a revision behind this position.
    async with ports.store.read(short=True) as unit:
        as_of = await unit.revocations.position()
    caller = await _caller(ports, login, identity, address)
    access = await _granted(ports, caller, scopes)
    signed = ports.signer.sign(
        RegistryToken(
            subject=caller.subject,
            name=caller.name,
            access=access,
            refused=_refused(scopes, access),
            as_of=as_of,
            refresh_token_id=caller.refresh_token_id,
        ),
        lifetime_seconds=ports.configuration.values.token_expiration_minutes * 60,
    )
    if len(signed.text) > MAXIMUM_TOKEN_BYTES:
        raise Invalid(
            message="these scopes do not fit into one token; ask for fewer",
            violations=[FieldViolation("scopes", "do not fit into one token")],
        )
    return signed


async def create_identity_token(
    ports: Ports, credentials: PasswordCredentials | None, address: str
) -> SignedText[IdentityToken]:
    """Makes a token that says who its bearer is.

    Raises:
        DomainError: UNAUTHORIZED, wrong or missing credentials; TOOMANYREQUESTS, OVERLOADED.
    """
    if credentials is None:
        raise Unauthenticated
    caller = await ports.login.log_in(credentials.username, credentials.secret, address)
    if caller.kind == "anonymous":
        raise Unauthenticated
    return ports.signer.sign(
        IdentityToken(
            subject=caller.subject,
            kind=caller.kind,
            id=caller.id,
            name=caller.name,
            is_admin=caller.is_administrator,
        ),
        lifetime_seconds=ports.rules.identity_token_seconds,
    )


async def _caller(
    ports: Ports, login: PasswordCredentials | PresentedToken | None, identity: Identity | None, address: str
) -> Caller:
    if isinstance(login, PresentedToken):
        return await ports.refresh_login.log_in(login, address)
    if login is not None:
        return await ports.login.log_in(login.username, login.secret, address)
    if identity is None:
        return ANONYMOUS
    async with ports.store.read(short=True) as unit:
        return await identify(unit, identity, ports.clock())


async def _granted(ports: Ports, caller: Caller, scopes: Sequence[Scope]) -> tuple[Access, ...]:
    project_of = {scope.name: project for scope in scopes if (project := _project_of(scope)) is not None}
    allowed: Mapping[str, RepositoryActions] = {}
    # The catalog shows the repositories of every project. So it is for administrators, as in Harbor, and robots with
    # the permission on the system level.
    reads_catalog = caller.is_administrator
    asks_for_catalog = any(scope.type == "registry" for scope in scopes)
    if project_of or (asks_for_catalog and caller.kind == "robot"):
        async with ports.store.read(short=True) as unit:
            if project_of:
                allowed = await unit.roles.repository_actions(caller, set(project_of.values()))
            if asks_for_catalog and caller.kind == "robot":
                reads_catalog = READ_CATALOG in await unit.roles.on_system(caller)
    grants_held = ports.rules.token_grant == "held"  # noqa: S105 - no password
    granted: list[Access] = []
    for scope in scopes:
        if scope.type == "registry" and scope.name == "catalog":
            if "*" in scope.actions and reads_catalog:
                granted.append(_CATALOG)
        elif scope.type == "repository" and project_of.get(scope.name) in allowed:
            held = allowed[project_of[scope.name]]
            wanted = frozenset(REPOSITORY_ACTIONS) if "*" in scope.actions or grants_held else scope.actions
            actions = wanted & held.actions
            if actions:
                is_public = not actions.isdisjoint(held.public_actions)
                granted.append(Access("repository", scope.name, actions, held.project_id, is_public))
    return tuple(granted)


def _refused(scopes: Sequence[Scope], granted: Sequence[Access]) -> tuple[str, ...]:
    given = {access.name for access in granted if access.type == "repository"}
    refused = [scope.name for scope in scopes if _project_of(scope) is not None and scope.name not in given]
    return tuple(refused[:_MAXIMUM_REFUSED])


def _project_of(scope: Scope) -> str | None:
    if scope.type != "repository":
        return None
    try:
        return RepositoryName.parse(scope.name).project
    except NameInvalidError:
        return None
