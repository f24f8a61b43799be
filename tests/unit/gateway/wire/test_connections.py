"""Which connection is closed for a newcomer."""

import pytest

from gateway.wire.connections import Connection, Connections


class Known(Connection):
    """A connection that knows whether it was closed."""

    was_closed = False

    def close(self) -> None:
        self.was_closed = True


class Room:
    """Connections with names, in the order in which they were opened."""

    def __init__(self, limit: int, limit_per_address: int, trusted: str = "") -> None:
        self.refusals: list[tuple[str, str]] = []
        self.connections = Connections(
            limit, limit_per_address, lambda address: address == trusted, lambda *reason: self.refusals.append(reason)
        )
        self.named: dict[str, Known] = {}

    def enter(self, name: str, *, address: str = "192.0.2.1", requests: int = 0, is_known: bool = False) -> None:
        connection = self.named[name] = Known(address)
        # A newcomer has no requests yet.
        self.connections.add(connection)
        connection.requests, connection.is_known = requests, is_known

    @property
    def closed(self) -> set[str]:
        return {name for name, connection in self.named.items() if connection.was_closed}


def full(*, total: int = 9) -> Room:
    return Room(total, 4)


def test_the_oldest_that_is_idle_and_unknown_goes_first() -> None:
    room = full()
    room.enter("known and idle", is_known=True)
    room.enter("unknown, with a request", requests=1)
    room.enter("unknown and idle")
    room.enter("unknown and idle as well")
    room.enter("newcomer")
    assert room.closed == {"unknown and idle"}
    assert room.refusals == [("connections", "address")]


def test_then_the_oldest_that_is_unknown_goes_though_it_has_a_request() -> None:
    room = full()
    room.enter("known and idle", is_known=True)
    room.enter("unknown", requests=1)
    room.enter("unknown as well", requests=1)
    room.enter("known, with a request", requests=1, is_known=True)
    room.enter("newcomer")
    assert room.closed == {"unknown"}


def test_then_the_oldest_that_is_known_and_idle_goes() -> None:
    room = full()
    room.enter("busy", requests=1, is_known=True)
    room.enter("idle", is_known=True)
    room.enter("idle as well", is_known=True)
    room.enter("busy as well", requests=1, is_known=True)
    room.enter("newcomer")
    assert room.closed == {"idle"}


def test_if_all_serve_callers_with_credentials_the_newcomer_goes() -> None:
    room = full()
    for number in range(4):
        room.enter(f"busy {number}", requests=1, is_known=True)
    room.enter("newcomer")
    assert room.closed == {"newcomer"}


@pytest.mark.parametrize("requests", [0, 1])
def test_one_address_that_is_full_closes_its_own_only(requests: int) -> None:
    room = full()
    room.enter("of another address", address="192.0.2.2")
    for number in range(5):
        room.enter(f"own {number}", requests=requests)
    assert room.closed == {"own 0"}


def test_if_all_places_are_taken_those_of_any_address_may_be_closed() -> None:
    room = full(total=3)
    for number in range(3):
        room.enter(f"of address {number}", address=f"192.0.2.{number}")
    room.enter("newcomer", address="192.0.2.9")
    assert room.closed == {"of address 0"}
    assert room.refusals == [("connections", "all")]


def test_those_of_a_trusted_proxy_and_of_a_unix_socket_are_not_closed() -> None:
    room = Room(4, 1, trusted="192.0.2.1")
    room.enter("of a proxy")
    room.enter("of the same proxy")
    room.enter("of a unix socket", address="")
    room.enter("of another unix socket", address="")
    assert not room.closed
    room.enter("newcomer", address="192.0.2.2")
    # Nobody else may be closed.
    assert room.closed == {"newcomer"}


def test_one_that_has_gone_makes_room() -> None:
    room = full()
    for number in range(4):
        room.enter(f"{number}")
    room.connections.remove(room.named["0"])
    room.enter("newcomer")
    assert not room.closed
    assert room.connections.count == 4


def test_one_that_was_closed_for_another_is_closed_once() -> None:
    room = full()
    for number in range(6):
        room.enter(f"{number}")
    assert room.closed == {"0", "1"}
    # It takes no place any more, and its end changes nothing.
    assert room.connections.count == 4
    for name in ("0", "1"):
        room.connections.remove(room.named[name])
    assert room.connections.count == 4
    room.enter("newcomer")
    assert room.closed == {"0", "1", "2"}


def test_those_that_are_being_closed_cost_no_others_their_places() -> None:
    room = Room(3, 9)
    room.enter("first", address="192.0.2.9", is_known=True)
    for number in range(20):
        room.enter(f"{number}", address=f"192.0.2.{number}")
    assert len(room.closed) == 18
    assert not room.closed & {"first", "18", "19"}
