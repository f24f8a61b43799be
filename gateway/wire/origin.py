"""Where a request comes from, and which host name the client used: read from the peer or from a trusted proxy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
"""A host that may be put into a challenge: a name, an IPv4 or a bracketed IPv6 address, and a port."""

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Origin:
    """How a client reached this registry.

    Attributes:
        client_address: the client's IP address; empty where it is unknown (a unix socket).
        scheme: "http" or "https", as the client sees it.
        host: host and port as the client wrote them; empty if they are missing or malformed.
    """

    client_address: str
    scheme: str
    host: str


class OriginReader:
    """Reads origins. Only trusted proxies may send forwarded headers: another client could claim any address."""

    def __init__(self, trusted_proxies: Sequence[Network]) -> None:
        """Takes the networks of the proxies."""
        self._trusted = tuple(trusted_proxies)

    def read(
        self,
        peer: str | None,
        scheme: str,
        host: str,
        forwarded_for: Sequence[str],
        forwarded_proto: str,
        forwarded_host: str,
    ) -> Origin:
        """Reads the origin of one request.

        Args:
            peer: the address that the connection comes from; None for a unix socket.
            scheme: the scheme of the connection.
            host: the Host header.
            forwarded_for: the `X-Forwarded-For` headers as sent.
            forwarded_proto: the `X-Forwarded-Proto` header, or "".
            forwarded_host: the `X-Forwarded-Host` header, or "".
        """
        address = _address(peer)
        if self._trusted and address is not None and self.trusts(address):
            address = self._client_behind(address, forwarded_for)
            proto = _last(forwarded_proto).lower()
            scheme = proto if proto in {"http", "https"} else scheme
            host = _last(forwarded_host) or host
        return Origin(str(address or ""), scheme, host if _HOST.fullmatch(host) else "")

    def trusts(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether this is the address of a trusted proxy."""
        return any(address in network for network in self._trusted)

    def _client_behind(
        self, peer: IPv4Address | IPv6Address, forwarded_for: Sequence[str]
    ) -> IPv4Address | IPv6Address:
        # Each proxy appends the address that it saw. Read from the right, the first address that is not a trusted proxy
        # is the client. Everything left of it was written by the client and proves nothing.
        client = peer
        for text in reversed(",".join(forwarded_for).split(",")):
            address = _address(text.strip())
            if address is None:
                break
            client = address
            if not self.trusts(address):
                break
        return client


def is_within(address: str | None, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of the networks. A unix socket has no address; its peer is local, so it is in."""
    if address is None:
        return True
    parsed = _address(address)
    return parsed is not None and any(parsed in network for network in networks)


def _address(text: str | None) -> IPv4Address | IPv6Address | None:
    if not text:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket that listens on both families shows IPv4 clients as mapped IPv6 addresses. Each client must have one
    # address only.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _last(value: str) -> str:
    return value.rpartition(",")[2].strip()
