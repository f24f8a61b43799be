"""Who is calling."""

from dataclasses import dataclass, field
from typing import Literal, Self

from svckit.actor import Actor
from svckit.tokens import ActingToken, IdentityToken, RegistryToken


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of an RPC, as its own token says.

    Attributes:
        kind: "service" is a service that acts for itself, by an acting token; a service that passes on a call is not
            the principal (`Call.caller_service` names it).
        subject: "user:7", "robot:12", "anonymous" or "service:metasvc".
        id: the user's or the robot's id; None for the other kinds.
        name: as they log in; the service's name; empty for nobody in particular.
        is_admin: what the identity token said when it was made, up to five minutes ago: enough to phrase an answer,
            never enough to permit anything. `Call.check_system` asks how things are now.
        registry: the registry token, where the caller came with one.
        identity: the identity token, where the caller came with one.
        acting: the acting token, where a service acts for itself.
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
    def actor(self) -> Actor:
        """The principal as a change log names it."""
        return Actor(self.kind, self.id or 0, self.name, None if self.acting is None else self.acting.on_behalf_of)

    @property
    def token_id(self) -> str:
        """`jti` of the token that the principal came with; empty without one."""
        token = self.identity or self.registry or self.acting
        return "" if token is None else token.token_id

    @classmethod
    def of_identity(cls, token: IdentityToken) -> Self:
        """The user or robot that an identity token names."""
        return cls(token.kind, token.subject, token.id, token.name, token.is_admin, identity=token)

    @classmethod
    def of_registry(cls, token: RegistryToken) -> Self:
        """Whom a registry token was made for: a user, a robot, or nobody in particular."""
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
"""A caller without a token, or with one that a `public` or `holder` rule has ignored."""
