"""All requests of all clients, and the outages of services, so that each failure can be explained by an outage."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

# The gateway has found a service again by then: it tries three times a second.
_RECOVERY_SECONDS = 1.0
AWAY = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request.

    Attributes:
        begun: on the monotonic clock, as is `ended`.
        outcome: the status of the answer, or the name of what broke it.
    """

    begun: float
    ended: float
    method: str
    path: str
    outcome: int | str

    @property
    def has_failed(self) -> bool:
        """Whether the connection broke, or the answer says that the error is not the client's."""
        return isinstance(self.outcome, str) or self.outcome >= 500

    def __str__(self) -> str:
        """The text with which to find it in the logs."""
        return f"{self.method} {self.path}: {self.outcome} after {self.ended - self.begun:.2f} s"


@dataclass(slots=True)
class Outage:
    """A time in which something was away.

    Attributes:
        names: what was killed.
        begun: just before it, on the monotonic clock.
        ended: when everything served again; infinity until then.
    """

    names: Sequence[str]
    begun: float
    ended: float = float("inf")


@dataclass
class Traffic:
    """All requests with their answers, and the outages. Threads share it."""

    attempts: list[Attempt] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, attempt: Attempt) -> None:
        """Records a request."""
        with self._lock:
            self.attempts.append(attempt)

    def outcomes(self) -> Counter[int | str]:
        """The number of requests by outcome."""
        return Counter(attempt.outcome for attempt in self.attempts)

    def findings(self) -> Iterator[str]:
        """Failures that no outage explains: any that is no 502, 503 or 504, and any while everything ran."""
        for attempt in self.attempts:
            if not attempt.has_failed:
                continue
            if isinstance(attempt.outcome, int) and attempt.outcome not in AWAY:
                yield f"never to be answered: {attempt}"
            elif not self.something_was_away(attempt.begun, attempt.ended):
                yield f"nothing was away: {attempt}"

    def something_was_away(self, begun: float, ended: float) -> bool:
        """Whether there was an outage in a time, or just before it."""
        return any(begun < outage.ended + _RECOVERY_SECONDS and ended > outage.begun for outage in self.outages)
