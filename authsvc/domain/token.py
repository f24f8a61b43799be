"""Registry tokens, by Docker's token specification, and identity tokens.

https://distribution.github.io/distribution/spec/auth/scope/, …/auth/token/
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from authsvc.domain.caller import identify
from authsvc.domain.model import ANONYMOUS, Caller, Identity
from authsvc.domain.permission import REPOSITORY_ACTIONS
from svckit.errors import FieldViolation, Invalid, Unauthenticated
from svckit.oci.errors import NameInvalidError
from svckit.oci.repository import RepositoryName
from svckit.tokens import Access, IdentityToken, RegistryToken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from authsvc.domain.bundle import Ports
    from authsvc.domain.ports import SignedText

MAXIMUM_SCOPES = 100
MAXIMUM_TOKEN_BYTES = 16 * 1024
"""What every verifier takes at most; a larger token would be refused wherever it is shown."""

_MAXIMUM_SCOPE_CHARACTERS = 1024
# A mount has one source. What was asked for in vain must not fill the token.
_MAXIMUM_REFUSED = 20
# "repository", or "repository(plugin)": the class is a hint that nobody needs.
_TYPE = re.compile(r"(?P<type>[a-z0-9]+)(?:\([a-z0-9]+\))?")
_CATALOG = Access("registry", "catalog", frozenset({"*"}))


@dataclass(frozen=True, slots=True)
class Scope:
    """What is asked for on one resource."""

    type: str
    name: str
    actions: frozenset[str]


@dataclass(frozen=True, slots=True)
class PasswordCredentials:
    """A name and its secret."""

    username: str
    secret: str = field(repr=False)


def parse_scopes(texts: Sequence[str]) -> list[Scope]:
    """Reads scopes, "repository:library/nginx:pull,push", several in one text as well, each resource once, in order.

    What is not understood asks for nothing, so nothing is granted for it: a client may ask for more than this registry
    knows, and is to get the rest.

    Raises:
        DomainError: BAD_REQUEST; more than 100.
    """
    parts = [part for text in texts for part in text.split()]
    if len(parts) > MAXIMUM_SCOPES:
        raise Invalid(
            message=f"{MAXIMUM_SCOPES} scopes at most",
            violations=[FieldViolation("scopes", f"{MAXIMUM_SCOPES} at most")],
        )
    asked: dict[tuple[str, str], frozenset[str]] = {}
    for part in parts:
        scope = _parse_scope(part)
        if scope is not None:
            key = (scope.type, scope.name)
            asked[key] = asked.get(key, frozenset()) | scope.actions
    return [Scope(kind, name, actions) for (kind, name), actions in asked.items()]


def _parse_scope(text: str) -> Scope | None:
    # A name may hold colons (a host with a port): the type comes before the first one, the actions after the last.
    head, _, actions = text.rpartition(":")
    kind, colon, name = head.partition(":")
    match = _TYPE.fullmatch(kind)
    if len(text) > _MAXIMUM_SCOPE_CHARACTERS or not colon or not name or match is None:
        return None
    wanted = frozenset(action for action in actions.split(",") if action)
    return Scope(match["type"], name, wanted) if wanted else None


async def create_registry_token(
    ports: Ports,
    credentials: PasswordCredentials | None,
    identity: Identity | None,
    scopes: Sequence[Scope],
    address: str,
) -> SignedText[RegistryToken]:
    """Makes a token for whoever the credentials prove, else for the bearer of the identity token, else for nobody in
    particular. It allows what was asked for and is allowed; an empty token is an answer, too.

    Raises:
        DomainError: UNAUTHORIZED, wrong credentials, or an account that may not log in; TOOMANYREQUESTS, OVERLOADED;
            BAD_REQUEST, what is granted does not fit into one token.
    """  # noqa: D205 - one sentence
    caller = await _caller(ports, credentials, identity, address)
    access = await _granted(ports, caller, scopes)
    signed = ports.signer.sign(
        RegistryToken(subject=caller.subject, name=caller.name, access=access, refused=_refused(scopes, access)),
        lifetime_seconds=ports.rules.registry_token_seconds,
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
    """Makes a token that says who calls.

    Raises:
        DomainError: UNAUTHORIZED, wrong credentials or none; TOOMANYREQUESTS, OVERLOADED.
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
    ports: Ports, credentials: PasswordCredentials | None, identity: Identity | None, address: str
) -> Caller:
    if credentials is not None:
        return await ports.login.log_in(credentials.username, credentials.secret, address)
    if identity is None:
        return ANONYMOUS
    async with ports.store.read() as unit:
        return await identify(unit, identity, ports.clock())


async def _granted(ports: Ports, caller: Caller, scopes: Sequence[Scope]) -> tuple[Access, ...]:
    project_of = {scope.name: project for scope in scopes if (project := _project_of(scope)) is not None}
    allowed: Mapping[str, tuple[int, AbstractSet[str]]] = {}
    if project_of:
        async with ports.store.read() as unit:
            allowed = await unit.roles.repository_actions(caller, set(project_of.values()))
    granted: list[Access] = []
    for scope in scopes:
        if scope.type == "registry" and scope.name == "catalog":
            # Harbor's catalog shows every project, so it is for administrators.
            if caller.is_administrator and "*" in scope.actions:
                granted.append(_CATALOG)
        elif scope.type == "repository" and project_of.get(scope.name) in allowed:
            project_id, held = allowed[project_of[scope.name]]
            wanted = frozenset(REPOSITORY_ACTIONS) if "*" in scope.actions else scope.actions
            actions = wanted & held & frozenset(REPOSITORY_ACTIONS)
            if actions:
                granted.append(Access("repository", scope.name, actions, project_id))
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
