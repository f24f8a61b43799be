"""The connections that Granian has accepted: found among this process's descriptors, counted, and closed.

Granian has no limit of connections for an address, no time-out for a connection without requests, and nothing that
closes a connection. It does not say either when it opens or closes one. But its sockets are descriptors of this
process, and the kernel knows their peers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from gateway.servers.granian.descriptors import Descriptor, Descriptors, Peer, reset
from gateway.wire.connections import Connection, Connections
from gateway.wire.origin import parse_address

_LOOK_SECONDS = 1.0
_LOOK_SECONDS_WHEN_FULL = 0.2


class PeerConnection(Connection):
    """A connection of Granian's.

    Attributes:
        idle_since: since when it has no request, by the clock of the event loop; None while it has one.
        read_bytes: how much its client had received when it was looked at for the first time since then.
        number: the descriptor that it was seen at; None until then.
    """

    __slots__ = ("_loop", "_peer", "idle_since", "number", "read_bytes")

    def __init__(self, peer: Peer) -> None:
        """Takes its peer. It is idle until its first request."""
        super().__init__(str(parse_address(peer[0]) or ""))
        self._peer = peer
        self._loop = asyncio.get_running_loop()
        self.idle_since: float | None = self._loop.time()
        self.read_bytes: int | None = None
        self.number: int | None = None

    def begin_request(self) -> None:
        """Counts a request."""
        super().begin_request()
        self.idle_since = None

    def end_request(self) -> None:
        """Counts a request out."""
        super().end_request()
        if not self.requests:
            self.idle_since = self._loop.time()
            self.read_bytes = None

    def close(self) -> None:
        """Closes it at once, also if its client reads nothing."""
        reset(self._peer, self.number)


@dataclass(frozen=True)
class _Found:
    """A connection, and the inode of its socket: it tells it from a later one with the same peer. None until seen."""

    connection: PeerConnection
    inode: int | None


class Peers:
    """All connections of Granian's in this process, apart from those over unix sockets."""

    def __init__(self, connections: Connections, ports: Collection[int], limit: int, idle_seconds: float) -> None:
        """Starts without connections.

        Args:
            connections: counts them, and decides which one is closed.
            ports: the ports on which Granian listens.
            limit: the most connections.
            idle_seconds: how long one may be without a request.
        """
        self._connections = connections
        self._descriptors = Descriptors(ports)
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._found: dict[Peer, _Found] = {}
        self._loop = asyncio.get_running_loop()

    def of_request(self, peer: Peer) -> PeerConnection:
        """The connection that a request came by."""
        found = self._found.get(peer)
        return self._add(peer, None) if found is None else found.connection

    async def watch(self) -> None:
        """Looks for connections that have come or gone, and closes idle ones, again and again."""
        while True:
            self.look()
            is_filling = self._connections.count > self._limit * 3 // 4
            await asyncio.sleep(_LOOK_SECONDS_WHEN_FULL if is_filling else _LOOK_SECONDS)

    def look(self) -> None:
        """Looks once."""
        present = self._descriptors.connected()
        for peer, found in list(self._found.items()):
            descriptor = present.get(peer)
            if descriptor is None or (found.inode is not None and found.inode != descriptor.inode):
                del self._found[peer]
                self._connections.remove(found.connection)
            elif found.inode is None:
                found.connection.number = descriptor.number
                self._found[peer] = _Found(found.connection, descriptor.inode)
        for peer, descriptor in present.items():
            if peer not in self._found:
                self._add(peer, descriptor)
            self._close_if_idle(self._found[peer].connection, descriptor)

    def close_all(self) -> None:
        """Closes all that are left."""
        for found in list(self._found.values()):
            found.connection.close()

    def _close_if_idle(self, connection: PeerConnection, descriptor: Descriptor) -> None:
        now = self._loop.time()
        if connection.idle_since is None:
            return
        if connection.read_bytes is None:
            connection.read_bytes = descriptor.read_bytes()
        elif now - connection.idle_since > self._idle_seconds:
            # The app has given away the last part of an answer, but a slow client may still be reading it.
            read_bytes = descriptor.read_bytes()
            if read_bytes == connection.read_bytes:
                connection.close()
            connection.idle_since, connection.read_bytes = now, read_bytes

    def _add(self, peer: Peer, descriptor: Descriptor | None) -> PeerConnection:
        connection = PeerConnection(peer)
        if descriptor is not None:
            connection.number = descriptor.number
        self._found[peer] = _Found(connection, None if descriptor is None else descriptor.inode)
        self._connections.add(connection)
        return connection
