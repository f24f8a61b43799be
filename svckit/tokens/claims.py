"""The claims of each kind of token. The types cannot be built from an incomplete payload."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, cast

from svckit.log_position import LogPosition
from svckit.services import NAMES

INTERNAL_AUDIENCE = "roadstead"
DEFAULT_REGISTRY_AUDIENCE = "harbor-registry"

SERVICES = NAMES
"""The names of the services. Each of them has a key pair of its own."""

_SUBJECT = re.compile(r"anonymous|(?:user|robot):[1-9][0-9]{0,18}|service:[a-z]{1,32}", re.ASCII)
_MAXIMUM_ID = 2**63 - 1


class ClaimsError(ValueError):
    """A claim is missing or of the wrong type. The text names the claim, never its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The claims that every kind has.

    The code that signs a token gives `subject` and the claims that the kind adds. The other attributes are the
    envelope, and `TokenSigner` and `TokenVerifier` fill them in. For signing, values given for them are ignored.

    Attributes:
        subject: "user:7", "robot:12", "anonymous" or "service:gateway".
        issuer: the service that signed.
        audience: the service, or the group of services, that the token is for.
        issued_time: seconds since the epoch, as are `not_before_time` and `expire_time`.
        token_id: a unique id (`jti`).
    """

    subject: str
    issuer: str = ""
    audience: str = ""
    issued_time: int = 0
    not_before_time: int = 0
    expire_time: int = 0
    token_id: str = ""

    typ: ClassVar[str]
    """The `typ` in the JWT header. Because of it, a token of one kind is never accepted as another."""
    signers: ClassVar[frozenset[str]]
    """The services that may sign this kind."""
    fixed_audience: ClassVar[str | None] = INTERNAL_AUDIENCE
    """The audience; None if a setting defines it, or if it is given for each token."""
    lifetime_seconds: ClassVar[int | None]
    """The default lifetime; None if it must be given for each token."""
    longest_lifetime_seconds: ClassVar[int]
    """The longest lifetime. Where a setting decides, it is more than the default. The public key that verifies a kind
    is kept by this (`svckit.tokens.retention`)."""
    leeway_seconds: ClassVar[int] = 5
    """How far the clocks of two hosts may differ."""
    refusal: ClassVar[str] = "UNAUTHORIZED"
    """The reason (`svckit.errors`) of the error when a token of this kind is refused."""

    def __post_init__(self) -> None:
        if not _SUBJECT.fullmatch(self.subject):
            raise ClaimsError("sub is not a subject")

    def payload(self) -> dict[str, Any]:
        """The claims of this kind without the envelope, as JSON values."""
        return {}

    @classmethod
    def parse(cls, payload: Mapping[str, Any]) -> Self:
        """Builds the claims from a verified payload.

        Raises:
            ClaimsError: a claim is missing or of the wrong type.
        """
        return cls(**_envelope(payload), **cls._parse_own(payload))

    @classmethod
    def _parse_own(cls, payload: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG003 - the kinds read it
        return {}


@dataclass(frozen=True, slots=True)
class Access:
    """One entry of a registry token's `access` (Docker's token specification), with the project's id beside the name.

    Attributes:
        type: "repository", or "registry" for the catalog.
        name: the repository's full name, or "catalog".
        actions: of "pull", "push", "delete"; "*" for the catalog.
        project_id: the id of the project that had this name when the token was signed; None for the catalog. Because
            of it, the token is not valid for a project that was deleted and created again.
        is_public: whether an action is allowed only because the project is public. If it becomes private, such a token
            is refused.
    """

    type: str
    name: str
    actions: frozenset[str]
    project_id: int | None = None
    is_public: bool = False

    def payload(self) -> dict[str, Any]:
        """The entry as a JSON object, with its actions sorted."""
        entry: dict[str, Any] = {"type": self.type, "name": self.name, "actions": sorted(self.actions)}
        if self.project_id is not None:
            entry["project_id"] = self.project_id
        if self.is_public:
            entry["public"] = True
        return entry

    @classmethod
    def parse(cls, value: object) -> Self:
        """Reads one entry.

        Raises:
            ClaimsError: the value is not an entry.
        """
        if not isinstance(value, Mapping):
            raise ClaimsError("an entry of access is not an object")
        actions = value.get("actions")
        if not isinstance(actions, list) or not all(isinstance(action, str) for action in actions):
            raise ClaimsError("access.actions is not a list of strings")
        kind = text_claim(value, "type")
        project_id = id_claim(value, "project_id") if kind == "repository" else None
        is_public = value.get("public", False)
        if not isinstance(is_public, bool):
            raise ClaimsError("access.public is not a boolean")
        return cls(kind, text_claim(value, "name"), frozenset(actions), project_id, is_public)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryToken(Claims):
    """The token of /v2: exact repositories, and only actions that were requested and are allowed.

    Attributes:
        name: the log-in name of the user or robot; empty for an anonymous caller.
        access: the actions that are allowed, by repository. It may be empty: then the token only says who calls.
        refused: repositories that were requested and on which nothing is allowed. If a token does not name the source
            of a mount, the client is told to fetch a new token. Without this list, it would be told so again and again.
        as_of: the position of authsvc's change log before these rights were looked up. The token is refused if its
            subject has lost rights behind it (`svckit.tokens.revocation`). None in tokens of older releases.
        refresh_token_id: the refresh token that it was made with; 0 for none.
    """

    name: str = ""
    access: tuple[Access, ...] = ()
    refused: tuple[str, ...] = ()
    as_of: LogPosition | None = None
    refresh_token_id: int = 0

    typ: ClassVar[str] = "registry+jwt"
    signers: ClassVar[frozenset[str]] = frozenset({"authsvc"})
    fixed_audience: ClassVar[str | None] = None
    lifetime_seconds: ClassVar[int | None] = 1800
    longest_lifetime_seconds: ClassVar[int] = 24 * 3600
    leeway_seconds: ClassVar[int] = 60

    def allowed(self, type_: str, name: str, action: str) -> Access | None:
        """The entry that names exactly this resource and includes this action; None without one."""
        for entry in self.access:
            if entry.type == type_ and entry.name == name and action in entry.actions:
                return entry
        return None

    def was_asked_for(self, repository: str) -> bool:
        """Whether the client requested this repository, allowed or not."""
        return repository in self.refused or any(
            entry.type == "repository" and entry.name == repository for entry in self.access
        )

    def payload(self) -> dict[str, Any]:
        """`access`, and the others if they are not empty."""
        claims: dict[str, Any] = {"access": [entry.payload() for entry in self.access]}
        if self.name:
            claims["name"] = self.name
        if self.refused:
            claims["refused"] = list(self.refused)
        if self.as_of is not None:
            claims["as_of"] = {"epoch": self.as_of.epoch, "revision": self.as_of.revision}
        if self.refresh_token_id:
            claims["refresh_token_id"] = self.refresh_token_id
        return claims

    @classmethod
    def _parse_own(cls, payload: Mapping[str, Any]) -> dict[str, Any]:
        entries = payload.get("access")
        if not isinstance(entries, list):
            raise ClaimsError("access is not a list")
        refused = payload.get("refused", [])
        if not isinstance(refused, list) or not all(isinstance(name, str) for name in refused):
            raise ClaimsError("refused is not a list of strings")
        return {
            "name": text_claim(payload, "name") if "name" in payload else "",
            "access": tuple(Access.parse(entry) for entry in cast("Iterable[object]", entries)),
            "refused": tuple(cast("list[str]", refused)),
            "as_of": _position_claim(payload, "as_of") if "as_of" in payload else None,
            "refresh_token_id": id_claim(payload, "refresh_token_id") if "refresh_token_id" in payload else 0,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityToken(Claims):
    """Who is calling. Services ask authsvc's CheckAccess what this caller may do.

    Attributes:
        kind: "user" or "robot".
        id: the id of the user or robot (`uid` in the payload).
        name: the log-in name.
        is_admin: whether the caller is a system administrator.
    """

    kind: Literal["user", "robot"]
    id: int
    name: str
    is_admin: bool = False

    typ: ClassVar[str] = "identity+jwt"
    signers: ClassVar[frozenset[str]] = frozenset({"authsvc"})
    lifetime_seconds: ClassVar[int | None] = 300
    longest_lifetime_seconds: ClassVar[int] = 3600

    def payload(self) -> dict[str, Any]:
        """`kind`, `uid`, `name`, `admin`."""
        return {"kind": self.kind, "uid": self.id, "name": self.name, "admin": self.is_admin}

    @classmethod
    def _parse_own(cls, payload: Mapping[str, Any]) -> dict[str, Any]:
        kind = text_claim(payload, "kind")
        if kind not in ("user", "robot"):
            raise ClaimsError("kind is neither user nor robot")
        identifier = id_claim(payload, "uid")
        if payload.get("sub") != f"{kind}:{identifier}":
            raise ClaimsError("sub is not the kind and uid")
        admin = payload.get("admin")
        if not isinstance(admin, bool):
            raise ClaimsError("admin is not a boolean")
        return {"kind": kind, "id": identifier, "name": text_claim(payload, "name"), "is_admin": admin}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceToken(Claims):
    """Which service is calling; signed by that service. The subject must be the owner of the key."""

    typ: ClassVar[str] = "service+jwt"
    signers: ClassVar[frozenset[str]] = SERVICES
    lifetime_seconds: ClassVar[int | None] = 300
    longest_lifetime_seconds: ClassVar[int] = 300

    @property
    def service(self) -> str:
        """The service's name."""
        return self.subject.removeprefix("service:")

    @classmethod
    def _parse_own(cls, payload: Mapping[str, Any]) -> dict[str, Any]:
        if payload.get("sub") != f"service:{payload.get('iss')}":
            raise ClaimsError("sub is not the service that signed")
        return {}


def _envelope(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "subject": text_claim(payload, "sub"),
        "issuer": text_claim(payload, "iss"),
        "audience": text_claim(payload, "aud"),
        "issued_time": number_claim(payload, "iat"),
        "not_before_time": number_claim(payload, "nbf"),
        "expire_time": number_claim(payload, "exp"),
        "token_id": text_claim(payload, "jti"),
    }


def _position_claim(payload: Mapping[str, Any], name: str) -> LogPosition:
    value = payload.get(name)
    if not isinstance(value, Mapping):
        raise ClaimsError(f"{name} is not an object")
    return LogPosition(epoch=text_claim(value, "epoch"), revision=number_claim(value, "revision"))


def text_claim(payload: Mapping[str, Any], name: str) -> str:
    """The text under a name. Raises ClaimsError if it is none."""
    value = payload.get(name)
    if not isinstance(value, str) or not value:
        raise ClaimsError(f"{name} is missing or not a text")
    return value


def number_claim(payload: Mapping[str, Any], name: str) -> int:
    """The number under a name, 0 or more. Raises ClaimsError if it is none."""
    value = payload.get(name)
    # In Python, bool is a subclass of int; in JSON, `true` is not a number.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAXIMUM_ID:
        raise ClaimsError(f"{name} is missing or not a 64-bit number")
    return value


def id_claim(payload: Mapping[str, Any], name: str) -> int:
    """The id under a name, 1 or more. Raises ClaimsError if it is none."""
    value = number_claim(payload, name)
    if value == 0:
        raise ClaimsError(f"{name} is not an id")
    return value
