"""The addresses that `roadstead up` serves on. They are checked, or bound, before any service starts."""

import errno
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ctl.errors import CommandError
from svckit.services import PORT_COUNT, SERVICES

# The offset of each service from the first port.
_OFFSETS = {
    name: service.port_offset
    for name, service in sorted(SERVICES.items(), key=lambda item: item[1].port_offset or 0)
    if service.port_offset is not None
}
_LOOPBACK = "127.0.0.1"
_BACKLOG = 1024
_LAST_PORT = 65535


@dataclass(frozen=True)
class Address:
    """Where HTTP is served.

    Attributes:
        host: a name or an address, without brackets.
        port: 0 for any free port.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Reads `HOST:PORT` or `[IPV6]:PORT`.

        Raises:
            ValueError: if it is neither.
        """
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        host = host[1:-1] if bracketed else host
        if not colon or not host or (":" in host and not bracketed) or not (port.isascii() and port.isdigit()):
            raise ValueError(f"{text!r} is not HOST:PORT")
        if int(port) > _LAST_PORT:
            raise ValueError(f"{port} is not a port")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def bind_http(address: Address) -> tuple[socket.socket, Address]:
    """Binds the address and listens.

    Clients that connect before the gateway is up, or while it is restarted, wait in the queue of the socket.

    Returns:
        the socket, and the address with the real port.

    Raises:
        CommandError: if the address is in use, or does not belong to this machine.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise CommandError(f"cannot serve HTTP on {address}: {error.strerror}") from error
    family, kind, protocol, _, place = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by each connection
        listener.bind(place)
        # Listen at once: two sockets can be bound to one port until one listens, and the error would come too late.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise CommandError(_explain(f"HTTP on {address}", error, "choose another with --http HOST:PORT")) from error
    return listener, Address(address.host, listener.getsockname()[1])


def grpc_addresses(first_port: int) -> dict[str, str]:
    """The loopback address of each service, counted from `first_port`. Empty for port 0.

    Raises:
        CommandError: if one of the ports is in use.
    """
    return _loopback_addresses("gRPC", "--grpc-port", first_port, _OFFSETS)


def metrics_addresses(first_port: int, others: Sequence[str], grpc: Mapping[str, str]) -> dict[str, str]:
    """The loopback address where each process serves its metrics, counted from `first_port`. Empty for port 0.

    Args:
        first_port: the port of the first service. Services that serve gRPC have the same offset here as there.
        others: the names of all other processes. Their ports come after those of the services.
        grpc: the result of `grpc_addresses`. Nothing listens on these ports yet, so binding finds no conflict.

    Raises:
        CommandError: if one of the ports is in use, or is one of the gRPC ports.
    """
    offsets = {name: offset for offset, name in enumerate(others, PORT_COUNT)}
    addresses = _loopback_addresses("metrics", "--metrics-port", first_port, {**_OFFSETS, **offsets})
    for name, address in addresses.items():
        if address in grpc.values():
            raise CommandError(
                f"cannot serve metrics of {name} on {address}: gRPC is served there; choose others with "
                "--metrics-port N or --grpc-port N"
            )
    return addresses


def _loopback_addresses(what: str, option: str, first_port: int, offsets: Mapping[str, int]) -> dict[str, str]:
    if first_port == 0:
        return {}
    addresses = {}
    for name, offset in offsets.items():
        port = first_port + offset
        # The service itself binds the port later. The check here can name the option to change.
        with socket.socket() as probe:
            try:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((_LOOPBACK, port))
                probe.listen(1)
            except (OSError, OverflowError) as error:
                advice = f"choose others with {option} N, or none with {option} 0"
                raise CommandError(_explain(f"{what} of {name} on {_LOOPBACK}:{port}", error, advice)) from error
        addresses[name] = f"{_LOOPBACK}:{port}"
    return addresses


def _explain(what: str, error: OSError | OverflowError, advice: str) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return f"cannot serve {what}: the port is taken by another program; {advice}"
    return f"cannot serve {what}: {os.strerror(number) if number else error}; {advice}"
