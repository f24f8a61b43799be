"""Binding a server to its addresses, and refusing those that another server has."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from svckit.errors.start import StartError
from svckit.rpc.address import TcpAddress, UnixAddress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import grpc.aio

    from svckit.rpc.address import Address
    from svckit.rpc.tls import TlsSettings

_PROBE_SECONDS = 1.0


class ListenError(StartError):
    """An address that a server cannot listen on; the text names it and says why."""


class Bindings:
    """The addresses that one server is bound to, with the locks on its unix sockets."""

    def __init__(self) -> None:
        """Starts with none."""
        self.addresses: list[Address] = []
        self._locks: list[int] = []

    def bind(self, server: grpc.aio.Server, address: Address, tls: TlsSettings) -> None:
        """Binds a server that has not started to one more address, and appends it to `addresses`.

        Raises:
            ListenError: if another server listens there, or the address cannot be used.
            TlsError: if it must not be spoken to in plain text, or a file of TLS cannot be read.
        """
        if isinstance(address, UnixAddress):
            self._bind_unix(server, address)
            return
        credentials = tls.server_credentials(address)
        # gRPC's own exception says no more than that it failed, so the reason is found out by trying as it does.
        obstacle = _obstacle(address)
        try:
            if credentials is None:
                port = server.add_insecure_port(str(address))
            else:
                port = server.add_secure_port(str(address), credentials)
        except RuntimeError as error:
            raise ListenError(f"cannot listen on {address}: {obstacle or 'it cannot be bound'}") from error
        self.addresses.append(address.with_port(port))

    def release(self) -> None:
        """Gives the locks back. The server must have stopped."""
        for lock in self._locks:
            os.close(lock)
        self._locks.clear()

    def _bind_unix(self, server: grpc.aio.Server, address: UnixAddress) -> None:
        path = address.path
        if not path.parent.is_dir():
            raise ListenError(f"cannot listen on {address}: there is no folder {path.parent}")
        self._lock(address)
        _remove_stale(address)
        try:
            # Made with its final mode: between bind and chmod anybody could connect.
            with _umask(0o177):
                server.add_insecure_port(str(address))
        except RuntimeError as error:
            raise ListenError(f"cannot listen on {address}") from error
        path.chmod(0o600)
        self.addresses.append(address)

    def _lock(self, address: UnixAddress) -> None:
        """Takes the lock beside the socket, which dies with the process, or finds that another server has it.

        gRPC removes whatever socket it finds at its path and binds a new one, so the earlier server would go on in
        silence and never be called again; and two that start together would each find nobody listening yet.
        """
        path = address.path.with_name(f"{address.path.name}.lock")
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ListenError(f"cannot listen on {address}: {path}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise ListenError(f"cannot listen on {address}: another server does already") from error
        self._locks.append(lock)


def _remove_stale(address: UnixAddress) -> None:
    """Removes the socket that a killed server left behind; not one that somebody answers on, nor what is no socket."""
    path = address.path
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"cannot listen on {address}: there is a file that is no socket")
    if _somebody_answers(path):
        raise ListenError(f"cannot listen on {address}: another server does already")
    path.unlink(missing_ok=True)


def _somebody_answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError as error:
            # A full backlog is somebody, too.
            return error.errno not in (errno.ENOTSOCK, errno.EPROTOTYPE)
    return True


def _obstacle(address: TcpAddress) -> str | None:
    """What stands in the way of binding there, as far as can be told; None for nothing.

    Raises:
        ListenError: if another server has the port; gRPC would be content with the other addresses of a name.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        return error.strerror
    obstacle: str | None = None
    for family, kind, protocol, _, where in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ListenError(f"cannot listen on {address}: another server does already") from error
            obstacle = error.strerror
    return obstacle


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
