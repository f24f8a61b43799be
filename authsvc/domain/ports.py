"""The ports of the domain that are no rows: a hasher, a signer, a clock, and checks of what may be done to robots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from datetime import datetime

    from svckit.tokens import Claims

C = TypeVar("C", bound="Claims")
C_co = TypeVar("C_co", bound="Claims", covariant=True)


class Clock(Protocol):
    """Gives the time."""

    def __call__(self) -> datetime:
        """Now, in UTC."""


class Hasher(Protocol):
    """Hashes passwords, slowly and a few at a time."""

    async def hash(self, password: str) -> str:
        """The hash of a password, as text.

        Raises:
            DomainError: OVERLOADED.
        """

    async def verify(self, password_hash: str, password: str) -> bool:
        """Whether this is the password of that hash. Raises as `hash`."""

    async def verify_dummy(self, password: str) -> None:
        """Takes as long as `verify`, so that the time does not show whether an account exists. Raises as `hash`."""


class SignedText(Protocol, Generic[C_co]):
    """A token and its claims."""

    @property
    def text(self) -> str:
        """The token."""

    @property
    def claims(self) -> C_co:
        """Its claims."""


class Signer(Protocol):
    """Signs tokens."""

    def sign(self, claims: C, *, lifetime_seconds: int | None = None) -> SignedText[C]:
        """Makes a token of these claims, which is valid for this time."""


class RobotAccess(Protocol):
    """Checks what the caller may do to robots. A failed check raises UNAUTHORIZED, PROJECT_UNKNOWN or FORBIDDEN."""

    def require_identity(self) -> None:
        """Refuses a caller without an identity, before anything is looked up for it."""

    async def check_named(self, project_name: str, action: str) -> int:
        """Checks the action on robots of the project of that name. Returns the project's id."""

    async def check_id(self, project_id: int, action: str) -> int:
        """Checks the action on robots of the project of that id. Returns the id."""

    async def check_system(self, action: str) -> None:
        """Checks the action on robots that belong to no project."""

    async def held_everywhere(self) -> None:
        """Takes the domain's word that the caller may act in every project, if there is none to check it in."""
