"""The open connections: how many there may be, how many of one address, and which are closed for a newcomer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from svckit.places import Refusal

_NONE: Mapping[Any, None] = MappingProxyType({})


class Connection:
    """One connection, as the app sees it. Each server has its own kind.

    Attributes:
        address: the address of the peer; empty for a unix socket.
        is_known: whether a caller with verified credentials has used it.
        is_closed: whether it was closed for another one. It takes no place any more, though it has not ended yet.
        requests: the requests that are being served on it.
    """

    __slots__ = ("address", "is_closed", "is_known", "requests")

    def __init__(self, address: str) -> None:
        """Takes the address of the peer."""
        self.address = address
        self.is_known = False
        self.is_closed = False
        self.requests = 0

    def begin_request(self) -> None:
        """Counts a request."""
        self.requests += 1

    def end_request(self) -> None:
        """Counts a request out."""
        self.requests -= 1

    def receive_much(self) -> None:
        """Receives in large pieces until no request is left: a body is being read. Before that, small ones will do."""

    def close(self) -> None:
        """Closes it at once, whatever is under way."""
        raise NotImplementedError


class Connections:
    """All connections of one process.

    A newcomer above a limit is let in, and another connection is closed for it: the one that was opened first among
    those without a request whose callers have shown no credentials, then among those with a request, then among those
    without a request whose callers have. So whoever fills the places loses their own, and somebody who has credentials
    to show gets a chance to show them. If all others serve callers with credentials, the newcomer is closed.
    Connections of trusted proxies and unix sockets are not closed: each carries many clients.
    """

    def __init__(
        self,
        limit: int,
        limit_per_address: int,
        is_trusted: Callable[[str], bool],
        on_refusal: Callable[[str, Refusal], None] | None = None,
    ) -> None:
        """Starts without connections.

        Args:
            limit: the most connections.
            limit_per_address: the most of one address.
            is_trusted: whether an address is that of a trusted proxy.
            on_refusal: is called with "connections" and the reason, for each connection that is closed.
        """
        self._limit = limit
        self._limit_per_address = limit_per_address
        self._is_trusted = is_trusted
        self._on_refusal = on_refusal
        self._of_address: dict[str, OrderedDict[Connection, None]] = {}
        self._closable: OrderedDict[Connection, None] = OrderedDict()
        self.count = 0

    def add(self, connection: Connection) -> None:
        """Counts a connection, and closes another one if there are too many."""
        self.count += 1
        if not connection.address or self._is_trusted(connection.address):
            if self.count > self._limit:
                self._close(_victim(self._closable), "all")
            return
        same = self._of_address.get(connection.address, _NONE)
        # The newcomer is not among those that are looked at: it has had no time yet to show credentials. If all others
        # serve callers with credentials, it is the one that is closed.
        victim: Connection | None = None
        if len(same) >= self._limit_per_address:
            victim = self._close(_victim(same) or connection, "address")
        elif self.count > self._limit:
            victim = self._close(_victim(self._closable) or connection, "all")
        if victim is not connection:
            self._of_address.setdefault(connection.address, OrderedDict())[connection] = None
            self._closable[connection] = None

    def remove(self, connection: Connection) -> None:
        """Counts a connection out."""
        if not connection.is_closed:
            self.count -= 1
            self._forget(connection)

    def _close(self, victim: Connection | None, reason: Refusal) -> Connection | None:
        if victim is not None:
            if self._on_refusal is not None:
                self._on_refusal("connections", reason)
            # Many may be on their way out at once. If they counted, newcomers would have others closed for them, too.
            self.count -= 1
            victim.is_closed = True
            self._forget(victim)
            victim.close()
        return victim

    def _forget(self, connection: Connection) -> None:
        self._closable.pop(connection, None)
        same = self._of_address.get(connection.address)
        if same is not None:
            same.pop(connection, None)
            if not same:
                del self._of_address[connection.address]


def _victim(among: Mapping[Connection, None]) -> Connection | None:
    """The connection to close first; None if all of them serve callers with credentials."""
    return (
        next((each for each in among if not each.requests and not each.is_known), None)
        or next((each for each in among if not each.is_known), None)
        or next((each for each in among if not each.requests), None)
    )
