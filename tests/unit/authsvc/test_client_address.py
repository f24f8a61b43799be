from typing import Any, cast

import pytest

from authsvc.convert import client_address
from svckit.access.call import Call


class Context:
    def __init__(self, peer: str) -> None:
        self._peer = peer

    def peer(self) -> str:
        return self._peer


@pytest.mark.parametrize(
    "peer, service, stated, address",
    [
        ("unix:", "gateway", "192.0.2.1", "192.0.2.1"),
        ("unix:", "gateway", "", "unix"),
        ("unix:", "metasvc", "192.0.2.1", "unix"),
        ("unix:", None, "192.0.2.1", "unix"),
        ("ipv4:127.0.0.1:5000", None, "192.0.2.1", "127.0.0.1"),
        ("ipv6:%5B::1%5D:5000", None, "", "%5B::1%5D"),
        ("unix:", "gateway", "9" * 100, "9" * 64),
    ],
)
def test_only_the_gateway_is_believed(peer: str, service: str | None, stated: str, address: str) -> None:
    call = Call("/x", caller_service=service)
    assert client_address(call, cast("Any", Context(peer)), stated) == address
