"""Places: how many things of one kind may be open at once, and how large a share one caller may hold of them.

A limit for all callers together is not enough: one caller who opens things and never ends them would shut out all
others. So a share is set for each subject, for each address, and for all callers without credentials together.

A service that acts for itself has no share. Its calls serve all callers at once, and the service that sends them has
shares for its own callers.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeVar

from svckit.errors import DomainError, error_for
from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

Refusal = Literal["all", "subject", "address", "without_credentials"]

K = TypeVar("K")

SERVICE_SUBJECTS: Final = "service:"
"""The subjects of services begin with this."""

_log = get_logger(__name__)
# An attack is refused thousands of times in a second. One line of each kind tells the operator as much as all of them.
_LOG_EVERY_SECONDS = 10.0


class Shares(NamedTuple):
    """How many places there are, and how many of them one holder may take.

    Attributes:
        total: the places.
        per_subject: for one user, robot or service.
        per_address: for the callers with credentials at one address. Many of them may share an address (NAT), and each
            has its own share as well.
        per_address_without_credentials: for the other callers at one address.
        without_credentials: for all callers without credentials together.
    """

    total: int
    per_subject: int
    per_address: int
    per_address_without_credentials: int
    without_credentials: int


class Places:
    """The places of one kind.

    Attributes:
        kind: what is counted, such as "requests"; for metrics and logs.
        taken: the places that are taken.
        taken_without_credentials: those of callers without credentials.
    """

    def __init__(self, kind: str, shares: Shares, on_refusal: Callable[[str, Refusal], None] | None = None) -> None:
        """Starts with all places free.

        Args:
            kind: what is counted.
            shares: the limits.
            on_refusal: is called with the kind and the reason of each refusal, to count it.
        """
        self.kind = kind
        self.taken = 0
        self.taken_without_credentials = 0
        self._shares = shares
        self._on_refusal = on_refusal
        self._of_subject: dict[str, int] = {}
        self._of_address: dict[tuple[str, bool], int] = {}
        self._logged: dict[Refusal, float] = {}
        self._free: asyncio.Event | None = None

    def check_free(self) -> None:
        """Refuses a caller before it is known who it is, if no place is free.

        Raises:
            DomainError: OVERLOADED if all places are taken.
        """
        if self.taken >= self._shares.total:
            raise self._refuse("all", None, "")

    def take(self, subject: str | None, address: str) -> None:
        """Takes one place. The caller must `give_back` it, with the same arguments.

        Args:
            subject: the caller's subject, if its credentials have been verified; None for all others.
            address: the caller's address; empty if it is not known. Then no share by address applies.

        Raises:
            DomainError: OVERLOADED if all places are taken; TOOMANYREQUESTS if the caller's share is. Both say when to
                try again.
        """
        shares = self._shares
        if self.taken >= shares.total:
            raise self._refuse("all", subject, address)
        at_address = (address, subject is None)
        of_address = self._of_address.get(at_address, 0) if address else 0
        if subject is None:
            if self.taken_without_credentials >= shares.without_credentials:
                raise self._refuse("without_credentials", subject, address)
            if of_address >= shares.per_address_without_credentials:
                raise self._refuse("address", subject, address)
            self.taken_without_credentials += 1
        else:
            of_subject = self._of_subject.get(subject, 0)
            if of_subject >= shares.per_subject and not subject.startswith(SERVICE_SUBJECTS):
                raise self._refuse("subject", subject, address)
            if of_address >= shares.per_address and not subject.startswith(SERVICE_SUBJECTS):
                raise self._refuse("address", subject, address)
            self._of_subject[subject] = of_subject + 1
        if address:
            self._of_address[at_address] = of_address + 1
        self.taken += 1

    def give_back(self, subject: str | None, address: str) -> None:
        """Frees one place."""
        self.taken -= 1
        if subject is None:
            self.taken_without_credentials -= 1
        else:
            _less(self._of_subject, subject)
        if address:
            _less(self._of_address, (address, subject is None))
        if not self.taken and self._free is not None:
            self._free.set()

    def place(self, subject: str | None, address: str) -> Place:
        """Takes one place. As `take`, for callers that may give it back more than once."""
        self.take(subject, address)
        return Place(self, subject, address)

    async def wait_until_free(self) -> None:
        """Returns when no place is taken."""
        while self.taken:
            if self._free is None:
                self._free = asyncio.Event()
            self._free.clear()
            await self._free.wait()

    def _refuse(self, reason: Refusal, subject: str | None, address: str) -> DomainError:
        if self._on_refusal is not None:
            self._on_refusal(self.kind, reason)
        now = time.monotonic()
        if now - self._logged.get(reason, -_LOG_EVERY_SECONDS) >= _LOG_EVERY_SECONDS:
            self._logged[reason] = now
            _log.warning(
                "place_refused", kind=self.kind, reason=reason, subject=subject or "", address=address, taken=self.taken
            )
        if reason == "all":
            return error_for("OVERLOADED", f"all places for {self.kind} are taken")
        return error_for("TOOMANYREQUESTS", f"your share of the places for {self.kind} is taken")


class Place:
    """One place that is taken."""

    __slots__ = ("_address", "_places", "_subject")

    def __init__(self, places: Places, subject: str | None, address: str) -> None:
        """Made by `Places.place`."""
        self._places: Places | None = places
        self._subject = subject
        self._address = address

    def leave(self) -> None:
        """Frees the place. A second call does nothing."""
        places, self._places = self._places, None
        if places is not None:
            places.give_back(self._subject, self._address)


def _less(counts: dict[K, int], key: K) -> None:
    # Keys without places are removed: callers choose their number.
    left = counts[key] - 1
    if left:
        counts[key] = left
    else:
        del counts[key]
