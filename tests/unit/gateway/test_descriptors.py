"""Connections of Granian's are ended by the descriptor at which they were seen."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gateway.servers.granian import descriptors
from gateway.servers.granian.descriptors import Descriptors, Peer, reset


@dataclass(frozen=True)
class Connected:
    """A connection of this process to itself: both ends, and the name of the client's."""

    client: socket.socket
    served: socket.socket
    peer: Peer

    def has_ended(self) -> bool:
        self.client.setblocking(False)
        try:
            return self.client.recv(1) == b""
        except BlockingIOError:
            return False


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def pair(listener: socket.socket) -> Iterator[tuple[Connected, Connected]]:
    made = []
    for _ in range(2):
        client = socket.create_connection(listener.getsockname())
        served, peer = listener.accept()
        made.append(Connected(client, served, peer))
    yield made[0], made[1]
    for each in made:
        each.client.close()
        each.served.close()


def test_it_is_found_and_ended_without_looking_at_the_others(
    listener: socket.socket, pair: tuple[Connected, Connected], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = pair
    seen = Descriptors([listener.getsockname()[1]]).connected()
    assert {peer: found.number for peer, found in seen.items()} == {each.peer: each.served.fileno() for each in pair}
    # Thousands of connections that are ended one after the other would otherwise take seconds.
    monkeypatch.setattr(descriptors, "_sockets", lambda: pytest.fail("all descriptors were looked at"))
    reset(one.peer, seen[one.peer].number)
    assert one.has_ended()
    assert not other.has_ended()


@pytest.mark.parametrize("knows_another", [False, True])
def test_it_is_found_where_its_number_is_unknown_or_that_of_another(
    pair: tuple[Connected, Connected], *, knows_another: bool
) -> None:
    one, other = pair
    reset(one.peer, other.served.fileno() if knows_another else None)
    assert one.has_ended()
    assert not other.has_ended()
