"""Addresses of servers and channels: `unix:/path` or `host:port`."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from svckit.errors.start import StartError

# sun_path has 108 bytes, including its closing NUL (unix(7)). gRPC refuses longer paths with a text that does not say
# so.
MAXIMUM_SOCKET_PATH_BYTES = 107

_UNIX = "unix:"
_MAXIMUM_PORT = 65535


class AddressError(StartError, ValueError):
    """An address is malformed. It is a ValueError as well, so that pydantic reports it as a wrong setting."""


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A unix socket.

    Attributes:
        path: an absolute path of 107 bytes at most.
    """

    path: Path

    def __str__(self) -> str:
        return f"{_UNIX}{self.path}"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP port.

    Attributes:
        host: a name or an address; an IPv6 address without brackets.
        port: the port; 0 lets the system choose.
    """

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether it can be reached from this machine only."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            # The address of a name may change at any time.
            return False

    def with_port(self, port: int) -> Self:
        """The same host with another port."""
        return type(self)(self.host, port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Address = UnixAddress | TcpAddress


def parse_address(text: str) -> Address:
    """Reads an address.

    Raises:
        AddressError: the text is neither `unix:/absolute/path` of 107 bytes at most nor `host:port`.
    """
    if text.startswith(_UNIX):
        return _unix(text)
    host, colon, digits = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise AddressError(f"{text!r}: write an IPv6 address as [address]:port")
    if not colon or not host or not (digits.isascii() and digits.isdigit()) or int(digits) > _MAXIMUM_PORT:
        raise AddressError(f"{text!r} is neither unix:/path nor host:port")
    return TcpAddress(host, int(digits))


def _unix(text: str) -> UnixAddress:
    path = text.removeprefix(_UNIX).removeprefix("//")
    if not path.startswith("/"):
        raise AddressError(f"{text!r}: the path of a unix socket must be absolute")
    length = len(path.encode())
    if length > MAXIMUM_SOCKET_PATH_BYTES:
        raise AddressError(
            f"{text!r}: a unix socket's path has {MAXIMUM_SOCKET_PATH_BYTES} bytes at most, not {length}"
        )
    return UnixAddress(Path(path))
