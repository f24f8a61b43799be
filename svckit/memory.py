"""The memory that bodies held as a whole may use, over all requests together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from svckit.errors import error_for
from svckit.places import Refusal

WITHOUT_CREDENTIALS = ""
"""The holder that all callers without credentials are together."""


class BodyMemory:
    """A number of bytes that requests share.

    Blobs pass through in pieces. Manifests, documents and forms are held as a whole, while they arrive, while a service
    works on them, and while the client reads them. A limit for each of them is not enough: a thousand clients could
    each send the largest manifest but its last byte.

    Attributes:
        held_bytes: how much is held at the moment.
    """

    def __init__(
        self,
        limit_bytes: int,
        limit_per_caller_bytes: int,
        on_refusal: Callable[[str, Refusal], None] | None = None,
    ) -> None:
        """Starts with nothing held.

        Args:
            limit_bytes: for all requests together.
            limit_per_caller_bytes: for the requests of one subject, and for those of all callers without credentials.
            on_refusal: is called with "memory" and the reason of each refusal, to count it.
        """
        self.held_bytes = 0
        self._limit_bytes = limit_bytes
        self._limit_per_caller_bytes = limit_per_caller_bytes
        self._on_refusal = on_refusal
        self._of_caller: Counter[str] = Counter()

    def hold(self, subject: str | None, size_bytes: int) -> Callable[[], None]:
        """Counts bytes of one caller, and returns the function that counts them out.

        A caller who holds nothing may always hold one body, if there is memory at all. So the largest body is possible
        with any setting.

        Raises:
            DomainError: OVERLOADED or TOOMANYREQUESTS, with the time after which to try again.
        """
        caller = WITHOUT_CREDENTIALS if subject is None else subject
        if self.held_bytes and self.held_bytes + size_bytes > self._limit_bytes:
            self._count("all")
            raise error_for("OVERLOADED", "the memory for bodies is in use")
        if self._of_caller[caller] and self._of_caller[caller] + size_bytes > self._limit_per_caller_bytes:
            self._count("without_credentials" if subject is None else "subject")
            raise error_for("TOOMANYREQUESTS", "your share of the memory for bodies is in use")
        self.held_bytes += size_bytes
        self._of_caller[caller] += size_bytes

        def release() -> None:
            self.held_bytes -= size_bytes
            self._of_caller[caller] -= size_bytes
            if self._of_caller[caller] <= 0:
                del self._of_caller[caller]

        return release

    def _count(self, reason: Refusal) -> None:
        if self._on_refusal is not None:
            self._on_refusal("memory", reason)
