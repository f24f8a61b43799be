"""Attacks on a gateway that serves HTTPS."""

import ssl

from tests.harness.attacks.attacker import Attack, Attacker
from tests.harness.attacks.over_http import bearer, head

# An attacker does not ask who it attacks.
_UNVERIFIED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_UNVERIFIED.check_hostname = False
_UNVERIFIED.verify_mode = ssl.CERT_NONE
# The head of a TLS record with a ClientHello of 512 bytes (RFC 8446 §5.1), and the beginning of that.
_BEGUN_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


async def handshakes_that_never_end(attacker: Attacker) -> None:
    """The first bytes of a handshake."""
    await attacker.hold(900, _BEGUN_HELLO, attacker.target.tls_port)


async def slow_readers_over_tls(attacker: Attacker) -> None:
    """Nothing of the answers is read. The handshakes cost the gateway and the attacker the same."""
    target = attacker.target
    request = head("GET", target.blob, bearer(target.anonymous))
    await attacker.hold(100, request, target.tls_port, _UNVERIFIED)


ATTACKS: tuple[Attack, ...] = (handshakes_that_never_end, slow_readers_over_tls)
