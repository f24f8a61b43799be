"""What the kinds of token say, as types that cannot be built from a payload that lacks something."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, cast

from svckit.services import NAMES

INTERNAL_AUDIENCE = "roadstead"
DEFAULT_REGISTRY_AUDIENCE = "harbor-registry"

SERVICES = NAMES
"""Who may have a key pair of its own: every service."""

_SUBJECT = re.compile(r"anonymous|(?:user|robot):[1-9][0-9]{0,18}|service:[a-z]{1,32}", re.ASCII)
_MAXIMUM_ID = 2**63 - 1


class ClaimsError(ValueError):
    """A payload that lacks a claim, or holds one of the wrong type. The text names the claim, never its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What every kind says.

    `subject` and what the kind adds is given by who signs; the rest is the envelope, which `TokenSigner` and
    `TokenVerifier` fill in: what is given for it when signing is not used.

    Attributes:
        subject: "user:7", "robot:12", "anonymous" or "service:gateway".
        issuer: the service that signed.
        audience: for whom it is meant.
        issued_time: seconds since the epoch; `not_before_time` and `expire_time` likewise.
        token_id: unique (`jti`).
    """

    subject: str
    issuer: str = ""
    audience: str = ""
    issued_time: int = 0
    not_before_time: int = 0
    expire_time: int = 0
    token_id: str = ""

    typ: ClassVar[str]
    """The JWT header's `typ`: a token of one kind is never taken for another."""
    signers: ClassVar[frozenset[str]]
    """The services that may sign this kind."""
    fixed_audience: ClassVar[str | None] = INTERNAL_AUDIENCE
    """Whom it is meant for; None where that is a setting, or said with each token."""
    lifetime_seconds: ClassVar[int | None]
    """How long it lives unless said otherwise; None where the signer must say."""
    leeway_seconds: ClassVar[int] = 5
    """How far the clocks of two hosts may differ."""
    refusal: ClassVar[str] = "UNAUTHORIZED"
    """The reason (`svckit.errors`) that a caller hears when it is refused."""

    def __post_init__(self) -> None:
        if not _SUBJECT.fullmatch(self.subject):
            raise ClaimsError("sub is no subject")

    def payload(self) -> dict[str, Any]:
        """The claims of this kind, beside the envelope, as JSON values."""
        return {}

    @classmethod
    def parse(cls, payload: Mapping[str, Any]) -> Self:
        """Builds the claims from a verified payload.

        Raises:
            ClaimsError: if one is missing or of the wrong type.
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
        project_id: the project that had this name when the token was signed; None for the catalog. It makes a deleted
            and re-created project a different one.
    """

    type: str
    name: str
    actions: frozenset[str]
    project_id: int | None = None

    def payload(self) -> dict[str, Any]:
        """As a JSON object; actions sorted."""
        entry: dict[str, Any] = {"type": self.type, "name": self.name, "actions": sorted(self.actions)}
        if self.project_id is not None:
            entry["project_id"] = self.project_id
        return entry

    @classmethod
    def parse(cls, value: object) -> Self:
        """Reads one entry.

        Raises:
            ClaimsError: if it is none.
        """
        if not isinstance(value, Mapping):
            raise ClaimsError("access holds what is no object")
        actions = value.get("actions")
        if not isinstance(actions, list) or not all(isinstance(action, str) for action in actions):
            raise ClaimsError("access.actions is no list of strings")
        kind = _text(value, "type")
        project_id = _identifier(value, "project_id") if kind == "repository" else None
        return cls(type=kind, name=_text(value, "name"), actions=frozenset(actions), project_id=project_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryToken(Claims):
    """The token of /v2: exact repositories, and only actions that were asked for and are allowed.

    Attributes:
        name: of the user or robot, as they log in; empty for nobody in particular.
        access: what may be done, where. Empty is valid: the caller is known, and that is all.
        refused: repositories that it was asked for and allows nothing on. A client whose token does not know of the
            source of a mount is sent for another one; without this, it would be sent again and again.
    """

    name: str = ""
    access: tuple[Access, ...] = ()
    refused: tuple[str, ...] = ()

    typ: ClassVar[str] = "registry+jwt"
    signers: ClassVar[frozenset[str]] = frozenset({"authsvc"})
    fixed_audience: ClassVar[str | None] = None
    lifetime_seconds: ClassVar[int | None] = 1800
    leeway_seconds: ClassVar[int] = 60

    def allowed(self, type_: str, name: str, action: str) -> Access | None:
        """The entry that names exactly this resource and holds this action, or None."""
        for entry in self.access:
            if entry.type == type_ and entry.name == name and action in entry.actions:
                return entry
        return None

    def was_asked_for(self, repository: str) -> bool:
        """Whether whoever fetched it asked for this repository, whatever came of it."""
        return repository in self.refused or any(
            entry.type == "repository" and entry.name == repository for entry in self.access
        )

    def payload(self) -> dict[str, Any]:
        """`access`, and `name` and `refused` where there are any."""
        claims: dict[str, Any] = {"access": [entry.payload() for entry in self.access]}
        if self.name:
            claims["name"] = self.name
        if self.refused:
            claims["refused"] = list(self.refused)
        return claims

    @classmethod
    def _parse_own(cls, payload: Mapping[str, Any]) -> dict[str, Any]:
        entries = payload.get("access")
        if not isinstance(entries, list):
            raise ClaimsError("access is no list")
        refused = payload.get("refused", [])
        if not isinstance(refused, list) or not all(isinstance(name, str) for name in refused):
            raise ClaimsError("refused is no list of strings")
        return {
            "name": _text(payload, "name") if "name" in payload else "",
            "access": tuple(Access.parse(entry) for entry in cast("Iterable[object]", entries)),
            "refused": tuple(cast("list[str]", refused)),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityToken(Claims):
    """Who is calling. What they may do is asked of authsvc's CheckAccess.

    Attributes:
        kind: "user" or "robot".
        id: the user's or the robot's id (`uid` on the wire).
        name: as they log in.
        is_admin: a system administrator.
    """

    kind: Literal["user", "robot"]
    id: int
    name: str
    is_admin: bool = False

    typ: ClassVar[str] = "identity+jwt"
    signers: ClassVar[frozenset[str]] = frozenset({"authsvc"})
    lifetime_seconds: ClassVar[int | None] = 300

    def payload(self) -> dict[str, Any]:
        """`kind`, `uid`, `name`, `admin`."""
        return {"kind": self.kind, "uid": self.id, "name": self.name, "admin": self.is_admin}

    @classmethod
    def _parse_own(cls, payload: Mapping[str, Any]) -> dict[str, Any]:
        kind = _text(payload, "kind")
        if kind not in ("user", "robot"):
            raise ClaimsError("kind is neither user nor robot")
        identifier = _identifier(payload, "uid")
        if payload.get("sub") != f"{kind}:{identifier}":
            raise ClaimsError("sub is not the kind and uid")
        admin = payload.get("admin")
        if not isinstance(admin, bool):
            raise ClaimsError("admin is no boolean")
        return {"kind": kind, "id": identifier, "name": _text(payload, "name"), "is_admin": admin}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceToken(Claims):
    """Which service is calling; signed by itself. The verifier holds the subject against the key's owner."""

    typ: ClassVar[str] = "service+jwt"
    signers: ClassVar[frozenset[str]] = SERVICES
    lifetime_seconds: ClassVar[int | None] = 300

    @property
    def service(self) -> str:
        """The service's name."""
        return self.subject.removeprefix("service:")

    @classmethod
    def _parse_own(cls, payload: Mapping[str, Any]) -> dict[str, Any]:
        if payload.get("sub") != f"service:{payload.get('iss')}":
            raise ClaimsError("sub is not the service that signed")
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadTicket(Claims):
    """The right to write and finish one upload, until the session ends.

    Attributes:
        upload_id: which upload.
        repository: the full name that it was begun for.
        project_id: the project of that name.
    """

    upload_id: str
    repository: str
    project_id: int

    typ: ClassVar[str] = "ticket+jwt"
    signers: ClassVar[frozenset[str]] = frozenset({"blobsvc"})
    fixed_audience: ClassVar[str | None] = "blobsvc"
    lifetime_seconds: ClassVar[int | None] = None
    refusal: ClassVar[str] = "TICKET_INVALID"

    def payload(self) -> dict[str, Any]:
        """`upload_id`, `repository`, `project_id`."""
        return {"upload_id": self.upload_id, "repository": self.repository, "project_id": self.project_id}

    @classmethod
    def _parse_own(cls, payload: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "upload_id": _text(payload, "upload_id"),
            "repository": _text(payload, "repository"),
            "project_id": _identifier(payload, "project_id"),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _BlobDocument(Claims):
    """What a receipt and a grant both name: one generation of one digest, in one repository."""

    repository: str
    project_id: int
    digest: str
    generation: int
    size: int

    def payload(self) -> dict[str, Any]:
        """`repository`, `project_id`, `digest`, `generation`, `size`."""
        return {
            "repository": self.repository,
            "project_id": self.project_id,
            "digest": self.digest,
            "generation": self.generation,
            "size": self.size,
        }

    @classmethod
    def _parse_own(cls, payload: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "repository": _text(payload, "repository"),
            "project_id": _identifier(payload, "project_id"),
            "digest": _text(payload, "digest"),
            "generation": _natural(payload, "generation"),
            "size": _natural(payload, "size"),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt(_BlobDocument):
    """The bytes were here, and hashed: metasvc links a blob on it.

    Attributes:
        repository: the full name that the upload was begun for.
        project_id: the project of that name.
        digest: of the bytes, "sha256:…" or "sha512:…".
        generation: which copy of them.
        size: in bytes.
    """

    typ: ClassVar[str] = "receipt+jwt"
    signers: ClassVar[frozenset[str]] = frozenset({"blobsvc"})
    fixed_audience: ClassVar[str | None] = "metasvc"
    lifetime_seconds: ClassVar[int | None] = 3600
    refusal: ClassVar[str] = "RECEIPT_INVALID"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant(_BlobDocument):
    """This subject may read this digest and generation, through this repository.

    Attributes:
        repository: the full name through which it was resolved.
        project_id: the project of that name.
        digest: "sha256:…" or "sha512:…".
        generation: which copy of the bytes.
        size: in bytes.
    """

    typ: ClassVar[str] = "grant+jwt"
    signers: ClassVar[frozenset[str]] = frozenset({"metasvc"})
    fixed_audience: ClassVar[str | None] = "blobsvc"
    lifetime_seconds: ClassVar[int | None] = 300
    refusal: ClassVar[str] = "GRANT_INVALID"


def _envelope(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "subject": _text(payload, "sub"),
        "issuer": _text(payload, "iss"),
        "audience": _text(payload, "aud"),
        "issued_time": _natural(payload, "iat"),
        "not_before_time": _natural(payload, "nbf"),
        "expire_time": _natural(payload, "exp"),
        "token_id": _text(payload, "jti"),
    }


def _text(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name)
    if not isinstance(value, str) or not value:
        raise ClaimsError(f"{name} is missing or no text")
    return value


def _natural(payload: Mapping[str, Any], name: str) -> int:
    value = payload.get(name)
    # bool is an int in Python, and `true` is no number in JSON.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAXIMUM_ID:
        raise ClaimsError(f"{name} is missing or no 64-bit number")
    return value


def _identifier(payload: Mapping[str, Any], name: str) -> int:
    value = _natural(payload, name)
    if value == 0:
        raise ClaimsError(f"{name} is no id")
    return value
