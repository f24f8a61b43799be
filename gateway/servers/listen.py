"""The sockets that a gateway serves on."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

BACKLOG = 1024
"""How many connections may wait to be accepted."""

_UNIX = "unix:"
_INHERITED = "fd://"


@contextmanager
def listening(addresses: Sequence[str]) -> Iterator[tuple[socket.socket, ...]]:
    """Opens the sockets, and closes them at the end of the block.

    Args:
        addresses: as in the setting `listen`.

    Raises:
        OSError: an address cannot be bound, or a descriptor is no socket.
    """
    with ExitStack() as stack:
        sockets = tuple(stack.enter_context(_opened(address)) for address in addresses)
        for each in sockets:
            each.listen(BACKLOG)
            each.settimeout(0)
        yield sockets


def _opened(address: str) -> socket.socket:
    if address.startswith(_INHERITED):
        return socket.socket(fileno=int(address.removeprefix(_INHERITED)))
    if address.startswith(_UNIX):
        return _bound_to_file(Path(address.removeprefix(_UNIX)))
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    return _bound(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, int(port)))


def _bound_to_file(path: Path) -> socket.socket:
    # An earlier process may have left its socket. Anything else in its place is somebody's file.
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        path.unlink()
    return _bound(socket.AF_UNIX, str(path))


def _bound(family: socket.AddressFamily, place: str | tuple[str, int]) -> socket.socket:
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family != socket.AF_UNIX:
            # Each connection inherits it.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(place)
    except BaseException:
        listener.close()
        raise
    return listener
