"""Binds a server to its addresses, and refuses addresses that another server uses."""

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
    """A server cannot listen on an address; the text names the address and says why."""

    # The process that listens there may be one that is ending.
    may_pass = True


class Bindings:
    """The addresses that one server is bound to, with the locks on its unix sockets."""

    def __init__(self) -> None:
        """Starts without addresses."""
        self.addresses: list[Address] = []
        self._locks: list[int] = []

    def bind(self, server: grpc.aio.Server, address: Address, tls: TlsSettings) -> None:
        """Binds a server that has not started to one more address, and appends the address to `addresses`.

        Raises:
            ListenError: another server listens there, or the address cannot be used.
            TlsError: plain text is not allowed for the address, or a TLS file cannot be read.
        """
        if isinstance(address, UnixAddress):
            self._bind_unix(server, address)
            return
        credentials = tls.server_credentials(address)
        # gRPC's exception does not say why binding failed. So a plain bind is tried first, to find out the reason.
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
        """Releases the locks. The server must have stopped."""
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
            # The socket is created with its final mode. Otherwise anybody could connect between bind and chmod.
            with _umask(0o177):
                server.add_insecure_port(str(address))
        except RuntimeError as error:
            raise ListenError(f"cannot listen on {address}") from error
        path.chmod(0o600)
        self.addresses.append(address)

    def _lock(self, address: UnixAddress) -> None:
        """Takes the lock file next to the socket, or raises if another server holds it. It ends with the process.

        Without the lock, gRPC would remove the socket of a running server and bind a new one. The first server would
        keep running and never be called again. A test connection is not enough: two servers that start together would
        both find that nobody listens yet.
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
    """Removes the socket of a killed server. Raises if a server still answers on it, or if it is not a socket."""
    path = address.path
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"cannot listen on {address}: there is a file that is not a socket")
    if _has_listener(path):
        raise ListenError(f"cannot listen on {address}: another server does already")
    path.unlink(missing_ok=True)


def _has_listener(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError as error:
            # Other errors, such as a full backlog, mean that a server listens.
            return error.errno not in (errno.ENOTSOCK, errno.EPROTOTYPE)
    return True


def _obstacle(address: TcpAddress) -> str | None:
    """The reason why binding fails, as far as it can be found out; None if it does not.

    Raises:
        ListenError: another server has the port. gRPC would accept that if the name has other addresses.
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
