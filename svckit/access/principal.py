"""Who is calling."""

from dataclasses import dataclass, field
from typing import Literal, Self

from svckit.actor import Actor
from svckit.tokens import ActingToken, IdentityToken, RegistryToken


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of an RPC, according to its own token.

    Attributes:
        kind: "service" is a service that acts for itself, with an acting token. A service that passes on a call is not
            the principal; `Call.caller_service` names it.
        subject: "user:7", "robot:12", "anonymous" or "service:metasvc".
        id: the id of the user or robot; None for the other kinds.
        name: the log-in name, or the service's name; empty for an anonymous caller.
        is_admin: whether the caller was an administrator when the identity token was made, up to five minutes ago. Use
            it for the form of an answer, never to allow anything: `Call.check_system` asks for the current state.
        registry: the caller's registry token, if it sent one.
        identity: the caller's identity token, if it sent one.
        acting: the acting token, if a service acts for itself.
    """

    kind: Literal["anonymous", "user", "robot", "service"]
    subject: str
    id: int | None = None
    name: str = ""
    is_admin: bool = False
    registry: RegistryToken | None = field(default=None, repr=False)
    identity: IdentityToken | None = field(default=None, repr=False)
    acting: ActingToken | None = field(default=None, repr=False)

    @property
    def known_subject(self) -> str | None:
        """The subject whose shares the caller uses; None for an anonymous caller, who has none of its own."""
        return None if self.kind == "anonymous" else self.subject

    @property
    def actor(self) -> Actor:
        """The principal in the form that a change log records."""
        return Actor(self.kind, self.id or 0, self.name, None if self.acting is None else self.acting.on_behalf_of)

    @property
    def token_id(self) -> str:
        """The `jti` of the principal's token; empty without one."""
        token = self.identity or self.registry or self.acting
        return "" if token is None else token.token_id

    @classmethod
    def of_identity(cls, token: IdentityToken) -> Self:
        """The user or robot that an identity token names."""
        return cls(token.kind, token.subject, token.id, token.name, token.is_admin, identity=token)

    @classmethod
    def of_registry(cls, token: RegistryToken) -> Self:
        """The owner of a registry token: a user, a robot, or an anonymous caller."""
        kind, _, number = token.subject.partition(":")
        if kind == "user":
            return cls("user", token.subject, int(number), token.name, registry=token)
        if kind == "robot":
            return cls("robot", token.subject, int(number), token.name, registry=token)
        return cls("anonymous", "anonymous", registry=token)

    @classmethod
    def of_acting(cls, token: ActingToken) -> Self:
        """A service that acts for itself."""
        return cls("service", token.subject, name=token.service, acting=token)


ANONYMOUS = Principal("anonymous", "anonymous")
"""A caller without a token, or with an invalid token that a `public` or `holder` rule ignores."""
