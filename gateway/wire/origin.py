"""Where a request comes from, and which host name the client used: read from the peer or from a trusted proxy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from itertools import islice

from gateway.config import ForwardedForm, GatewaySettings, networks

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
"""A host that may be put into a challenge: a name, an IPv4 or a bracketed IPv6 address, and a port."""

_SCHEME = re.compile("https?")
_ADDRESS_AND_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::[A-Za-z0-9._-]+)?")
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's grammar
_PAIR = re.compile(rf'({_TOKEN})=({_TOKEN}|"(?:[^"\\]|\\.)*")')
_ELEMENT = re.compile(rf"\s*{_PAIR.pattern}(?:\s*;\s*{_PAIR.pattern})*\s*;?\s*")
_ESCAPED = re.compile(r"\\(.)")
_MOST_PROXIES = 100
_MOST_QUOTED_COMMAS = 16

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


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


@dataclass(frozen=True, slots=True)
class ForwardedHeaders:
    """What proxies say about the request, as sent; each header may be sent several times, or not at all.

    Attributes:
        addresses: `X-Forwarded-For`.
        schemes: `X-Forwarded-Proto`.
        hosts: `X-Forwarded-Host`.
        forwarded: `Forwarded` (RFC 7239).
    """

    addresses: Sequence[str] = ()
    schemes: Sequence[str] = ()
    hosts: Sequence[str] = ()
    forwarded: Sequence[str] = ()


NOT_FORWARDED = ForwardedHeaders()


class OriginReader:
    """Reads origins. Only trusted proxies may send forwarded headers: another client could claim any address."""

    def __init__(self, trusted_proxies: Sequence[Network], form: ForwardedForm = "any") -> None:
        """Takes the networks of the proxies, and the headers that they write."""
        self._trusted = tuple(trusted_proxies)
        self._form = form

    @property
    def reads_headers(self) -> bool:
        """Whether there are trusted proxies, so that forwarded headers may count."""
        return bool(self._trusted)

    def read(self, peer: str | None, scheme: str, host: str, headers: ForwardedHeaders) -> Origin:
        """Reads the origin of one request.

        Args:
            peer: the address that the connection comes from; None for a unix socket.
            scheme: the scheme of the connection.
            host: the host that the request names.
            headers: the forwarded headers.
        """
        address, text = _address_of_peer(peer)
        if self._trusted and address is not None and self.trusts(address):
            address, schemes, hosts = self._believed(address, headers)
            scheme = _furthest((text.lower() for text in schemes), _SCHEME) or scheme
            host = _furthest(hosts, _HOST) or host
            text = str(address)
        return Origin(text, scheme, host if _HOST.fullmatch(host) else "")

    def trusts(self, address: Address) -> bool:
        """Whether this is the address of a trusted proxy."""
        return any(address in network for network in self._trusted)

    def trusts_text(self, text: str) -> bool:
        """The same for an address as text."""
        address = parse_address(text) if self._trusted else None
        return address is not None and self.trusts(address)

    def _believed(self, peer: Address, headers: ForwardedHeaders) -> tuple[Address, Iterable[str], Iterable[str]]:
        """The client's address, and the schemes and hosts that trusted proxies wrote, the nearest proxy's first."""
        is_sent = bool(headers.addresses or headers.schemes or headers.hosts)
        if self._form == "forwarded" or (self._form == "any" and not is_sent):
            elements = list(islice(read_from_the_right(",".join(headers.forwarded)), _MOST_PROXIES))
            client, proxies = self._client_behind(peer, (element.get("for", "") for element in elements))
            believed = elements[:proxies]
            return (
                client,
                (element["proto"] for element in believed if "proto" in element),
                (element["host"] for element in believed if "host" in element),
            )
        client, proxies = self._client_behind(peer, _items_from_the_right(headers.addresses))
        return (
            client,
            islice(_items_from_the_right(headers.schemes), proxies),
            islice(_items_from_the_right(headers.hosts), proxies),
        )

    def _client_behind(self, peer: Address, addresses: Iterable[str]) -> tuple[Address, int]:
        """The client's address, and how many trusted proxies the request came through.

        Each proxy appends the address that it saw. Read from the right, the first address that is not a trusted proxy
        is the client. Everything left of it was written by the client and proves nothing. The same holds for as many
        hosts and schemes.
        """
        client, proxies = peer, 1
        for text in addresses:
            address = parse_address(text)
            if address is None:
                break
            client = address
            if not self.trusts(address):
                break
            proxies += 1
        return client, proxies


def origin_reader(settings: GatewaySettings) -> OriginReader:
    """Reads where requests come from, as the settings say."""
    return OriginReader(networks(settings.trusted_proxies), settings.forwarded_headers)


def is_within(address: str | None, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of the networks. A unix socket has no address; its peer is local, so it is in."""
    if address is None:
        return True
    parsed = parse_address(address)
    return parsed is not None and any(parsed in network for network in networks)


def parse_address(text: str | None) -> Address | None:
    """Reads an IP address; IPv6 may be in brackets, and a port may follow. None for anything else."""
    if not text:
        return None
    match = _ADDRESS_AND_PORT.fullmatch(text)
    try:
        address = ip_address(text if match is None else match[1] or match[2])
    except ValueError:
        return None
    # A socket that listens on both families shows IPv4 clients as mapped IPv6 addresses. Each client must have one
    # address only.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=4096)
def _address_of_peer(peer: str | None) -> tuple[Address | None, str]:
    """The address of a peer, parsed and as text. Each costs some microseconds, and a peer sends many requests."""
    address = parse_address(peer)
    return address, str(address or "")


def read_from_the_right(text: str) -> Iterator[Mapping[str, str]]:
    """Reads a `Forwarded` header (RFC 7239), the last element first.

    It is read from the right, because the left part is the client's: an open quote there must not spoil what a proxy
    has appended. The first element that is malformed ends the list.

    Args:
        text: the values of the header, joined by commas.
    """
    end = len(text)
    while end > 0:
        # A comma may be in a quoted value, so the shortest part that is an element is searched.
        begin, part = end, ""
        for _ in range(_MOST_QUOTED_COMMAS):
            begin = text.rfind(",", 0, begin)
            part = text[begin + 1 : end]
            if begin < 0 or _ELEMENT.fullmatch(part):
                break
        if not _ELEMENT.fullmatch(part):
            return
        yield {
            match[1].lower(): _ESCAPED.sub(r"\1", match[2][1:-1]) if match[2].startswith('"') else match[2]
            for match in _PAIR.finditer(part)
        }
        end = begin


def _items_from_the_right(values: Sequence[str]) -> Iterator[str]:
    return (item.strip() for item in reversed(",".join(values).split(",")))


def _furthest(items: Iterable[str], pattern: re.Pattern[str]) -> str:
    """The last item, or the one before the first malformed item; empty if there is none."""
    found = ""
    for item in items:
        if pattern.fullmatch(item) is None:
            break
        found = item
    return found
