"""Finds this process's sockets by the peers that they are connected to."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

Peer = tuple[str, int]
"""Host and port of the other end of a connection, as the kernel writes them."""

_FOLDER = "/proc/self/fd"
_SOCKET = "socket:["
# tcp(7): of struct tcp_info, tcpi_bytes_acked.
_BYTES_ACKED = slice(120, 128)
_TCP_INFO_BYTES = 128
_DROP_UNSENT = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A socket of this process.

    Attributes:
        number: its number, which may belong to another file at any time: Granian closes it when it likes.
        inode: tells it from a later socket with the same number or the same peer.
    """

    number: int
    inode: int

    def read_bytes(self) -> int | None:
        """How much of what was sent its peer has received; None if it is closed."""
        try:
            with socket.socket(fileno=os.dup(self.number)) as end:
                information = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        except OSError:
            return None
        return int.from_bytes(information[_BYTES_ACKED], sys.byteorder)


class Descriptors:
    """The sockets of this process that somebody has connected to."""

    def __init__(self, ports: Collection[int]) -> None:
        """Looks for connections to these ports of ours only."""
        self._ports = frozenset(ports)
        self._known: dict[int, tuple[int, Peer | None]] = {}

    def connected(self) -> Mapping[Peer, Descriptor]:
        """The sockets, by their peers."""
        known: dict[int, tuple[int, Peer | None]] = {}
        for descriptor, inode in _sockets():
            before = self._known.get(descriptor)
            known[descriptor] = before if before and before[0] == inode else (inode, self._peer_of(descriptor))
        self._known = known
        return {peer: Descriptor(number, inode) for number, (inode, peer) in known.items() if peer is not None}

    def _peer_of(self, descriptor: int) -> Peer | None:
        try:
            with socket.socket(fileno=os.dup(descriptor)) as end:
                name = end.getsockname()
                return _peer(end) if isinstance(name, tuple) and name[1] in self._ports else None
        except OSError:
            # It listens, or it is closed already.
            return None


def reset(peer: Peer, number: int | None) -> None:
    """Ends the connection to a peer at once, and drops what is not sent yet.

    Args:
        peer: the peer.
        number: the descriptor that it was seen at. Without it, or if it belongs to another file now, all are looked
            through, which takes 10 milliseconds for a thousand.
    """
    if number is None or not _reset_at(number, peer):
        any(_reset_at(each, peer) for each, _ in _sockets())


def _reset_at(number: int, peer: Peer) -> bool:
    """Ends the connection if this is its descriptor. Returns whether it is."""
    try:
        # A second descriptor: the first one may be closed, and its number given to somebody else, at any time.
        with socket.socket(fileno=os.dup(number)) as end:
            if _peer(end) != peer:
                return False
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP_UNSENT)
            end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return False
    return True


def _sockets() -> Iterator[tuple[int, int]]:
    """Each socket's descriptor, and the number of its inode."""
    for name in os.listdir(_FOLDER):  # noqa: PTH208 - pathlib makes an object of each
        with suppress(OSError):
            target = os.readlink(f"{_FOLDER}/{name}")  # noqa: PTH115 - the same
            if target.startswith(_SOCKET):
                yield int(name), int(target[len(_SOCKET) : -1])


def _peer(end: socket.socket) -> Peer | None:
    name = end.getpeername()
    return (name[0], name[1]) if isinstance(name, tuple) else None
